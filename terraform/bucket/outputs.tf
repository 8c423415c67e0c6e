output "bucket_name" {
  description = "Name of the bucket."
  value       = module.s3.bucket_name
}

output "application_policy_json" {
  description = "The least the service needs, as an IAM policy, to attach to its user or role."
  value       = module.s3.application_policy_json
}
