output "image" {
  description = "The release: what the pipeline's rollback goes back to."
  value       = var.image
}
