output "bucket_name" {
  description = "Name of the bucket."
  value       = module.s3.bucket_name
}

output "application_policy_json" {
  description = "IAM policy with the least rights that the service needs, as JSON, for its user or role."
  value       = module.s3.application_policy_json
}
