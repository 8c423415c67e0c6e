terraform {
  required_version = ">= 1.11, < 2"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
    }
    kubernetes = {
      source = "hashicorp/kubernetes"
      # As in the root for Minikube: 2.36 brought data_wo.
      version = ">= 2.36, < 4"
    }
    helm = {
      source  = "hashicorp/helm"
      version = ">= 3.1, < 4"
    }
  }
}
