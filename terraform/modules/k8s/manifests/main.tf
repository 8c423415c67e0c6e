# Kubernetes objects installed as one Helm release. Helm changes only the fields that the
# release contains, so it keeps the number of pods that an autoscaler has set;
# hashicorp/kubernetes replaces a Deployment's whole specification with that of the plan.
resource "helm_release" "this" {
  name        = var.name
  namespace   = var.namespace
  chart       = "${path.module}/chart"
  max_history = 5

  # A first installation that failed is not in the state; the next apply upgrades it:
  # https://github.com/hashicorp/terraform-provider-helm/issues/1669
  upgrade_install = true

  wait          = true
  wait_for_jobs = true
  timeout       = var.timeout_seconds

  values = [yamlencode({ manifests = var.manifests })]
}
