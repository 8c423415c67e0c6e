output "bucket_name" {
  description = "Name of the bucket."
  value       = module.uploads.bucket_name
}

output "bucket_policy_json" {
  description = "The policy the bucket is under."
  value       = module.uploads.bucket_policy_json
}

output "application_policy_json" {
  description = "The policy to attach to the service's role."
  value       = module.uploads.application_policy_json
}
