# The cluster comes from KUBE_CONFIG_PATH and KUBE_CTX, as everywhere here. The
# state is local unless a backend is added: it holds no secret, and this root is
# run by hand, before any pipeline can reach the cluster.
provider "kubernetes" {}

provider "helm" {
  kubernetes = {}
}
