# Linked into every root with an account.

variable "region" {
  description = "AWS region. With a store in the cluster it is only part of request signatures."
  type        = string
  default     = "eu-west-1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the name of an AWS region, as in \"eu-west-1\"."
  }
}
