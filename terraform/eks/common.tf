# Linked into every root here.

terraform {
  # Completed by `terraform init -backend-config=FILE` and a key of root and environment.
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

variable "region" {
  description = "AWS region."
  type        = string
  default     = "eu-west-1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the name of an AWS region, as in \"eu-west-1\"."
  }
}
