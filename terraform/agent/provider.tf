# The cluster is given by KUBE_CONFIG_PATH and KUBE_CTX. The state is a local file unless a
# backend is added: it contains no secret.
provider "kubernetes" {}

provider "helm" {
  kubernetes = {}
}
