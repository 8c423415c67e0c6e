output "web_selector" {
  description = "Labels of the web pods, for the Service in front."
  value       = local.selector.web
}

output "service_account_name" {
  description = "Service account of all pods, for a role in the cloud."
  value       = kubernetes_service_account_v1.this.metadata[0].name
}

output "manifests" {
  description = "What is installed, by kind and name."
  value       = merge(module.migration.manifests, module.release.manifests)
}
