terraform {
  required_version = ">= 1.11, < 2"

  required_providers {
    kubernetes = {
      source = "hashicorp/kubernetes"
      # 2.36 brought data_wo, which keeps the secrets out of the state.
      version = ">= 2.36, < 4"
    }
  }
}
