output "name" {
  description = "Name of the Service."
  value       = kubernetes_service_v1.this.metadata[0].name
}

output "load_balancer_address" {
  description = "Host name or address of the load balancer; null while it has none, as on Minikube without a tunnel."
  value = try(
    coalesce(
      kubernetes_service_v1.this.status[0].load_balancer[0].ingress[0].hostname,
      kubernetes_service_v1.this.status[0].load_balancer[0].ingress[0].ip,
    ),
    null,
  )
}
