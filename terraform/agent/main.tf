# A root of its own: the pipelines deploy with the agent's rights, which do not
# reach as far as the agent itself.
module "agent" {
  source = "../modules/k8s/agent"

  target_namespaces = var.target_namespaces
  kas_address       = var.kas_address
  token             = var.token
  token_revision    = var.token_revision
}
