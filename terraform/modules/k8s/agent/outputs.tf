output "namespace" {
  description = "Namespace of the agent."
  value       = kubernetes_namespace_v1.this.metadata[0].name
}

output "service_account_name" {
  description = "Account whose rights the pipelines have in the cluster."
  value       = kubernetes_service_account_v1.this.metadata[0].name
}
