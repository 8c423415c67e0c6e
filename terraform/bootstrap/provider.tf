# No backend: the bucket does not exist before the first apply. The state is a local file
# without secrets and can be moved into the bucket afterwards.
provider "aws" {
  region = var.region
}
