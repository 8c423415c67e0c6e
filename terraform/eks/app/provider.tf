# The cluster comes from KUBE_CONFIG_PATH and KUBE_CTX, as everywhere here: never from
# a cluster that the same apply makes.
provider "kubernetes" {}

provider "helm" {
  kubernetes = {}
}
