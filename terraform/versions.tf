# Linked into every directory that uses these providers.

terraform {
  required_version = ">= 1.11, < 2"

  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = "~> 3.1"
    }
    kubernetes = {
      source = "hashicorp/kubernetes"
      # 3.2.1 breaks updates of StatefulSets:
      # https://github.com/hashicorp/terraform-provider-kubernetes/issues/2926
      version = "~> 3.2, != 3.2.1"
    }
  }
}
