mock_provider "kubernetes" {}

variables {
  name      = "mirrorsite"
  namespace = "mirrorsite"
  selector  = { "app.kubernetes.io/name" = "mirrorsite", "app.kubernetes.io/component" = "web" }
}

run "port_80_leads_to_4545" {
  command = plan

  assert {
    condition     = kubernetes_service_v1.this.spec[0].type == "LoadBalancer" && [for port in kubernetes_service_v1.this.spec[0].port : [port.port, port.target_port, port.protocol]] == [[80, "4545", "TCP"]]
    error_message = "The load balancer's port 80, and no other, must lead to 4545 in the pod."
  }

  assert {
    condition     = kubernetes_service_v1.this.spec[0].selector == tomap(var.selector) && kubernetes_service_v1.this.spec[0].external_traffic_policy == "Local"
    error_message = "Requests must reach the named pods with the client's address."
  }

  assert {
    condition     = !kubernetes_service_v1.this.wait_for_load_balancer
    error_message = "An apply must not wait for a load balancer's address."
  }
}

run "behind_an_ingress" {
  command = plan

  variables {
    type          = "ClusterIP"
    source_ranges = ["203.0.113.0/24"]
  }

  assert {
    condition     = kubernetes_service_v1.this.spec[0].load_balancer_source_ranges == null
    error_message = "The API refuses a load balancer's fields without one."
  }
}

run "values_out_of_range" {
  command = plan

  variables {
    selector                = {}
    type                    = "NodePort"
    source_ranges           = ["everywhere"]
    external_traffic_policy = "Any"
  }

  expect_failures = [var.selector, var.type, var.source_ranges, var.external_traffic_policy]
}
