terraform {
  # Partial: `terraform init -backend-config=FILE`, with a key of this root.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region
}
