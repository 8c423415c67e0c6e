terraform {
  # Completed by `terraform init -backend-config=FILE`.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region
}
