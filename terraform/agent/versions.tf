terraform {
  required_version = ">= 1.11, < 2"

  required_providers {
    kubernetes = {
      source = "hashicorp/kubernetes"
      # 2.36 brought data_wo, which keeps the agent's token out of the state.
      version = ">= 2.36, < 4"
    }
    helm = {
      source  = "hashicorp/helm"
      version = ">= 3.1, < 4"
    }
  }
}
