# This file is maintained automatically by "terraform init".
# Manual edits may be lost in future updates.

provider "registry.terraform.io/hashicorp/helm" {
  version     = "3.3.0"
  constraints = "~> 3.1"
  hashes = [
    "h1:eUUdT07mEbXlc30VGAr8r1Neim0gBrdltZoQRUIAwk8=",
  ]
}
