terraform {
  # Partial: bucket, key and region come with `terraform init -backend-config=FILE`,
  # as bootstrap/ prints them. Without an AWS account, backend_override.tf.example
  # puts the state into a local file instead.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

# The cluster comes from KUBE_CONFIG_PATH and KUBE_CTX (these providers do not read
# KUBECONFIG), so that the same files serve a laptop and a pipeline.
provider "kubernetes" {}

provider "helm" {
  kubernetes = {}
}
