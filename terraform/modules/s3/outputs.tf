output "bucket_name" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.id
}

output "application_policy_json" {
  description = "IAM policy with the least rights that the service needs, as JSON, for its role or user."
  value       = data.aws_iam_policy_document.application.json
}
