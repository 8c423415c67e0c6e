# This file is maintained automatically by "terraform init".
# Manual edits may be lost in future updates.

provider "registry.terraform.io/hashicorp/aws" {
  version     = "5.100.0"
  constraints = "~> 5.100"
  hashes = [
    "h1:edXOJWE4ORX8Fm+dpVpICzMZJat4AX0VRCAy/xkcOc0=",
  ]
}

provider "registry.terraform.io/hashicorp/helm" {
  version     = "3.3.0"
  constraints = "~> 3.1"
  hashes = [
    "h1:eUUdT07mEbXlc30VGAr8r1Neim0gBrdltZoQRUIAwk8=",
  ]
}

provider "registry.terraform.io/hashicorp/kubernetes" {
  version     = "3.4.0"
  constraints = "~> 3.2, != 3.2.1"
  hashes = [
    "h1:bW5+7BH0UYGgAepqlYeC7pHKCvkmGBF2RfssSmbPs6M=",
  ]
}
