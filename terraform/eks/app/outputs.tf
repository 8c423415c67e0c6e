output "image" {
  description = "Image of the last release that succeeded, which the pipeline's rollback reads."
  value       = module.deployment.image
}
