output "state_bucket_name" {
  description = "Name of the bucket for the state."
  value       = aws_s3_bucket.state.id
}

output "backend_config" {
  description = "What `terraform init -backend-config=FILE` of the other roots needs, as the text of that file; the key is each root's own."
  value       = <<-EOT
    bucket       = "${aws_s3_bucket.state.bucket}"
    region       = "${var.region}"
    encrypt      = true
    use_lockfile = true
  EOT
}
