output "name" {
  description = "Name of the Service."
  value       = kubernetes_service_v1.this.metadata[0].name
}
