output "image" {
  description = "Image of the last release that succeeded, which the pipeline's rollback reads."
  value       = module.deployment.image
}

output "service_account_name" {
  description = "Service account of the pods."
  value       = module.deployment.service_account_name
}
