output "state_bucket_name" {
  description = "Name of the bucket for the state."
  value       = aws_s3_bucket.this.id
}

output "backend_config" {
  description = "Content of FILE in `terraform init -backend-config=FILE` of the other roots, which add a key."
  value       = <<-EOT
    bucket       = "${aws_s3_bucket.this.bucket}"
    region       = "${var.region}"
    encrypt      = true
    use_lockfile = true
  EOT
}
