terraform {
  required_version = ">= 1.11, < 2"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
    }
    kubernetes = {
      source = "hashicorp/kubernetes"
      # 2.36 brought data_wo, which keeps the secrets out of the state.
      version = ">= 2.36, < 4"
    }
  }
}
