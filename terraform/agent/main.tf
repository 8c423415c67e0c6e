# Applied once, by hand, by an administrator of the cluster: the service's namespaces and
# GitLab's agent. Pipelines deploy with the agent's rights, which end at these namespaces
# and allow neither creating them nor changing the agent.

module "namespace" {
  source   = "../modules/k8s/namespace"
  for_each = var.target_namespaces

  name = each.value
}

module "agent" {
  source = "../modules/k8s/agent"
  count  = var.install_agent ? 1 : 0

  target_namespaces = [for namespace in module.namespace : namespace.name]
  kas_address       = var.kas_address
  token             = var.token
  token_revision    = var.token_revision
}
