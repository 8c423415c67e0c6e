# The cluster is given by KUBE_CONFIG_PATH and KUBE_CTX.
provider "kubernetes" {}

provider "helm" {
  kubernetes = {}
}
