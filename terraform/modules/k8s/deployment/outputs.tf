output "web_selector" {
  description = "Labels of the web pods, for the Service."
  value       = local.selector.web
}

output "image" {
  description = "Image of the last release that succeeded."
  value       = terraform_data.released.output
}

output "service_account_name" {
  description = "Service account of all pods."
  value       = kubernetes_service_account_v1.this.metadata[0].name
}

output "manifests" {
  description = "The installed objects, by kind and name."
  value       = merge(module.migration.manifests, module.release.manifests)
}
