variable "state_bucket_name" {
  description = "Name of the bucket for Terraform's state, unique in all of AWS."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.state_bucket_name))
    error_message = "state_bucket_name must be 3 to 63 characters: lower-case letters, digits and inner hyphens, no dots."
  }
}

variable "noncurrent_version_expiration_days" {
  description = "Days for which earlier states are kept."
  type        = number
  default     = 180
  nullable    = false

  validation {
    condition     = var.noncurrent_version_expiration_days >= 30 && floor(var.noncurrent_version_expiration_days) == var.noncurrent_version_expiration_days
    error_message = "noncurrent_version_expiration_days must be a whole number of at least 30."
  }
}
