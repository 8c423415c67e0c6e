mock_provider "kubernetes" {}

mock_provider "helm" {}

run "before_the_first_release" {
  command = plan

  variables {
    token = "glagent-0123456789abcdef"
  }

  assert {
    condition     = keys(module.namespace) == ["mirrorsite"] && length(module.agent) == 1
    error_message = "The namespace must be created here: the agent's role does not allow it."
  }
}

run "without_pipelines" {
  command = plan

  variables {
    install_agent = false
  }

  assert {
    condition     = length(module.agent) == 0 && keys(module.namespace) == ["mirrorsite"]
    error_message = "The namespace must be created without an agent too."
  }
}

run "agent_without_token" {
  command = plan

  expect_failures = [var.token]
}
