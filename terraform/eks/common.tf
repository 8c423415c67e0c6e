# Linked into every root here.

terraform {
  # Completed by `terraform init -backend-config=FILE
  # -backend-config=key=eks/ENVIRONMENT/ROOT.tfstate`.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { project = "mirrorsite", environment = var.environment, root = "eks/${basename(abspath(path.root))}" }
  }
}

variable "environment" {
  description = "staging or production; part of every name."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["staging", "production"], var.environment)
    error_message = "environment must be staging or production."
  }
}
