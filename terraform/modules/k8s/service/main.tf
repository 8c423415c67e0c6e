resource "kubernetes_service_v1" "this" {
  # Without a controller that assigns an address (Minikube without `minikube tunnel`) an
  # apply would wait ten minutes and then replace the Service.
  wait_for_load_balancer = false

  metadata {
    name        = var.name
    namespace   = var.namespace
    annotations = var.annotations
    labels = {
      "app.kubernetes.io/name"       = var.name
      "app.kubernetes.io/managed-by" = "terraform"
    }
  }

  spec {
    type                        = var.type
    selector                    = var.selector
    load_balancer_class         = var.type == "LoadBalancer" ? var.load_balancer_class : null
    load_balancer_source_ranges = var.type == "LoadBalancer" && length(var.source_ranges) > 0 ? var.source_ranges : null
    external_traffic_policy     = var.type == "LoadBalancer" ? var.external_traffic_policy : null

    port {
      name         = "http"
      protocol     = "TCP"
      app_protocol = "http"
      port         = 80
      target_port  = "4545"
    }
  }
}
