mock_provider "kubernetes" {}
mock_provider "helm" {}

variables {
  target_namespaces = ["mirrorsite"]
  token             = "glagent-0123456789abcdef"
}

run "least_rights" {
  command = plan

  assert {
    condition     = yamldecode(helm_release.this.values[0]).rbac == { create = false } && yamldecode(helm_release.this.values[0]).serviceAccount == { create = false, name = "gitlab-agent" }
    error_message = "The chart's own rights, those of an administrator, must be disabled."
  }

  assert {
    condition     = helm_release.this.chart == "gitlab-agent" && helm_release.this.repository == "https://charts.gitlab.io" && helm_release.this.version == "2.26.0"
    error_message = "The chart must come from GitLab, in one exact version."
  }

  assert {
    condition     = yamldecode(helm_release.this.values[0]).config == { kasAddress = "wss://kas.gitlab.com", secretName = "gitlab-agent-token" }
    error_message = "The token must be passed by a Secret's name: Helm would store a value."
  }

  assert {
    condition     = keys(kubernetes_role_v1.deployer) == ["mirrorsite"] && keys(kubernetes_role_binding_v1.deployer) == ["mirrorsite"]
    error_message = "The agent may deploy into the named namespaces only."
  }

  assert {
    condition = alltrue([
      for rule in kubernetes_role_v1.deployer["mirrorsite"].rule :
      !contains(rule.verbs, "*") && !contains(rule.resources, "*") && !contains(rule.api_groups, "*")
      && !contains(rule.api_groups, "rbac.authorization.k8s.io")
      && length(setintersection(rule.resources, ["pods/exec", "pods/attach", "roles", "rolebindings"])) == 0
    ])
    error_message = "No rule may contain a wildcard, roles and bindings, exec or attach."
  }
}

run "values_out_of_range" {
  command = plan

  variables {
    target_namespaces = ["mirrorsite", "kube-system"]
    kas_address       = "ws://kas.example.org"
    token             = "changeme"
    token_revision    = 0
  }

  expect_failures = [var.target_namespaces, var.kas_address, var.token, var.token_revision]
}
