terraform {
  # Partial: bucket, key and region come with `terraform init -backend-config=FILE`,
  # as bootstrap/ prints them. Without an AWS account, backend_override.tf.example
  # puts the state into a local file instead.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

# Credentials and, for another store than AWS, AWS_ENDPOINT_URL come from the
# environment. With object_store = "cluster" no resource of this provider is left,
# and it must not ask for an account.
provider "aws" {
  region                      = var.region
  access_key                  = local.uses_aws ? null : "unused"
  secret_key                  = local.uses_aws ? null : "unused"
  skip_credentials_validation = !local.uses_aws
  skip_metadata_api_check     = !local.uses_aws
  skip_requesting_account_id  = !local.uses_aws

  default_tags {
    tags = { project = "mirrorsite" }
  }
}

# The cluster comes from KUBE_CONFIG_PATH and KUBE_CTX (this provider does not
# read KUBECONFIG), so that the same files serve a laptop and a pipeline.
provider "kubernetes" {}
