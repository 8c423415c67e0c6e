output "image" {
  description = "Image of the release, which the pipeline's rollback reads."
  value       = var.image
}
