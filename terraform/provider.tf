terraform {
  # Completed by `terraform init -backend-config=FILE`, the output of bootstrap/. Without
  # an AWS account, backend_override.tf.example keeps the state in a local file.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

# The cluster is given by KUBE_CONFIG_PATH and KUBE_CTX; these providers do not read
# KUBECONFIG.
provider "kubernetes" {}

provider "helm" {
  kubernetes = {}
}
