terraform {
  # Partial: `terraform init -backend-config=FILE`, with a key of this root and environment.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { project = "mirrorsite", environment = var.environment, root = "eks/app" }
  }
}

# The cluster comes from KUBE_CONFIG_PATH and KUBE_CTX, as everywhere here: never from
# a cluster that the same apply makes.
provider "kubernetes" {}

provider "helm" {
  kubernetes = {}
}
