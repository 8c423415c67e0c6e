# No backend: the bucket cannot hold the state of its own creation. The state of
# this root is local, holds no secret, and can be moved into the bucket afterwards
# (README.md).
provider "aws" {
  region = var.region
}
