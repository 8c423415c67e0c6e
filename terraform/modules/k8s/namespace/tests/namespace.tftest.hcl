mock_provider "kubernetes" {}

variables {
  name = "mirrorsite"
}

run "restricted" {
  command = plan

  assert {
    condition = {
      for key, value in kubernetes_namespace_v1.this.metadata[0].labels : key => value if startswith(key, "pod-security.kubernetes.io/")
      } == {
      "pod-security.kubernetes.io/enforce"         = "restricted"
      "pod-security.kubernetes.io/enforce-version" = "latest"
      "pod-security.kubernetes.io/audit"           = "restricted"
      "pod-security.kubernetes.io/warn"            = "restricted"
    }
    error_message = "The namespace must admit restricted pods only."
  }

  assert {
    condition     = toset(kubernetes_network_policy_v1.default_deny.spec[0].policy_types) == toset(["Ingress", "Egress"]) && length(kubernetes_network_policy_v1.default_deny.spec[0].ingress) == 0 && length(kubernetes_network_policy_v1.default_deny.spec[0].egress) == 0
    error_message = "The default policy must cover both directions and allow nothing."
  }

  assert {
    condition     = length(coalesce(kubernetes_network_policy_v1.default_deny.spec[0].pod_selector[0].match_labels, {})) == 0
    error_message = "The default policy must hold for every pod."
  }
}

run "refuses_the_clusters_own_namespaces" {
  command = plan

  variables {
    name = "kube-system"
  }

  expect_failures = [var.name]
}

run "values_out_of_range" {
  command = plan

  variables {
    name   = "default"
    labels = { "pod-security.kubernetes.io/enforce" = "privileged" }
  }

  expect_failures = [var.name, var.labels]
}
