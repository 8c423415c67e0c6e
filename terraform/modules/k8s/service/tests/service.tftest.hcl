mock_provider "kubernetes" {}

variables {
  namespace = "mirrorsite"
  selector  = { "app.kubernetes.io/name" = "mirrorsite", "app.kubernetes.io/component" = "web" }
}

run "port_80_leads_to_4545" {
  command = plan

  assert {
    condition     = kubernetes_service_v1.this.spec[0].type == "LoadBalancer"
    error_message = "The Service must be a LoadBalancer."
  }

  assert {
    condition     = [for port in kubernetes_service_v1.this.spec[0].port : [port.port, port.target_port, port.protocol]] == [[80, "4545", "TCP"]]
    error_message = "Port 80, and no other, must lead to 4545 in the pod."
  }

  assert {
    condition     = kubernetes_service_v1.this.spec[0].selector == tomap({ "app.kubernetes.io/name" = "mirrorsite", "app.kubernetes.io/component" = "web" })
    error_message = "Requests must go to the pods that were named."
  }

  assert {
    condition     = kubernetes_service_v1.this.spec[0].external_traffic_policy == "Local" && kubernetes_service_v1.this.wait_for_load_balancer
    error_message = "Clients' addresses must be kept, and an apply must wait for the load balancer."
  }
}

run "minikube_does_not_wait" {
  command = plan

  variables {
    wait_for_load_balancer = false
  }

  assert {
    condition     = !kubernetes_service_v1.this.wait_for_load_balancer
    error_message = "An apply must not wait for an address that only a tunnel would give."
  }
}

run "tls_ended_by_the_load_balancer" {
  command = plan

  variables {
    https_port    = 443
    annotations   = { "service.beta.kubernetes.io/aws-load-balancer-scheme" = "internet-facing" }
    source_ranges = ["203.0.113.0/24"]
  }

  assert {
    condition     = [for port in kubernetes_service_v1.this.spec[0].port : [port.name, port.port, port.target_port]] == [["http", 80, "4545"], ["https", 443, "4545"]]
    error_message = "Both ports must lead to 4545."
  }

  assert {
    condition     = toset(kubernetes_service_v1.this.spec[0].load_balancer_source_ranges) == toset(["203.0.113.0/24"])
    error_message = "Only the given addresses may come in."
  }
}

run "behind_a_gateway" {
  command = plan

  variables {
    type = "ClusterIP"
  }

  assert {
    condition     = kubernetes_service_v1.this.spec[0].type == "ClusterIP" && !kubernetes_service_v1.this.wait_for_load_balancer
    error_message = "A Service inside the cluster has no load balancer to wait for."
  }
}

run "refuses_a_privileged_target_port" {
  command = plan

  variables {
    target_port = 80
  }

  expect_failures = [var.target_port]
}

run "refuses_a_port_that_is_none" {
  command = plan

  variables {
    port = 70000
  }

  expect_failures = [var.port]
}

run "refuses_the_same_port_twice" {
  command = plan

  variables {
    https_port = 80
  }

  expect_failures = [var.https_port]
}

run "refuses_a_node_port" {
  command = plan

  variables {
    type = "NodePort"
  }

  expect_failures = [var.type]
}

run "refuses_to_select_nothing" {
  command = plan

  variables {
    selector = {}
  }

  expect_failures = [var.selector]
}

run "refuses_a_source_range_that_is_none" {
  command = plan

  variables {
    source_ranges = ["everywhere"]
  }

  expect_failures = [var.source_ranges]
}

run "refuses_an_unknown_traffic_policy" {
  command = plan

  variables {
    external_traffic_policy = "Global"
  }

  expect_failures = [var.external_traffic_policy]
}
