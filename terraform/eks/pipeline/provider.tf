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
    tags = { project = "mirrorsite", environment = var.environment, root = "eks/pipeline" }
  }
}
