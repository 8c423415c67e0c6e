output "bucket_name" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.id
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.this.arn
}

output "bucket_region" {
  description = "Region the bucket lies in."
  value       = aws_s3_bucket.this.region
}

output "bucket_policy_json" {
  description = "The policy the bucket is under, as JSON."
  value       = data.aws_iam_policy_document.bucket.json
}

output "application_policy_json" {
  description = "The least the service needs, as an IAM policy in JSON, to attach to its role or user."
  value       = data.aws_iam_policy_document.application.json
}
