output "image" {
  description = "Image of the release, which the pipeline's rollback reads."
  value       = var.image
}

output "service_account_name" {
  description = "Service account of the pods."
  value       = module.deployment.service_account_name
}
