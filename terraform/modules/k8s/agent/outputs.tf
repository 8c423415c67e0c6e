output "namespace" {
  description = "Namespace of the agent."
  value       = local.namespace
}

output "service_account_name" {
  description = "Service account of the agent, whose rights the pipelines have."
  value       = kubernetes_service_account_v1.this.metadata[0].name
}
