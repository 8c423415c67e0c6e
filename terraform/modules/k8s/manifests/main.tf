# Kubernetes objects, written as in the API, installed as one Helm release. Helm changes
# only the fields that a release names: the number of pods that an autoscaler has set
# stays, whereas hashicorp/kubernetes replaces a Deployment's whole specification with
# what was known when the plan was made.
resource "helm_release" "this" {
  name        = var.name
  namespace   = var.namespace
  chart       = "${path.module}/chart"
  max_history = 5

  wait          = true
  wait_for_jobs = true
  timeout       = var.timeout_seconds

  values = [yamlencode({ manifests = var.manifests })]
}
