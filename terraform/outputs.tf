output "image" {
  description = "The release: what the pipeline's rollback goes back to."
  value       = var.image
}

output "service_account_name" {
  description = "Service account of the pods."
  value       = module.deployment.service_account_name
}
