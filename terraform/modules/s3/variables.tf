variable "bucket_name" {
  description = "Name of the bucket, unique in all of AWS."
  type        = string
  nullable    = false

  validation {
    # S3 allows dots, but TLS fails on virtual-hosted addresses with one.
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name must be 3 to 63 characters: lower-case letters, digits and inner hyphens, no dots."
  }
}

variable "break_glass_principal_arns" {
  description = "ARNs (wildcards allowed) of the principals that may delete under audit/ in an emergency. Empty: no principal may."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.break_glass_principal_arns : can(regex("^arn:[a-z-]+:(iam|sts)::[0-9]{12}:[^*?].*$", arn))])
    error_message = "break_glass_principal_arns must be full IAM or STS ARNs with an account id and a name: a bare \"*\" would disable the protection."
  }
}

variable "object_lock" {
  description = "Object Lock, which can be enabled only when the bucket is created. The service sets a retention on each audit copy. default_retention_days holds for uploads too, which then cannot be purged before it ends."
  type = object({
    enabled                = optional(bool, false)
    default_retention_days = optional(number)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.object_lock.default_retention_days == null || (var.object_lock.enabled && try(var.object_lock.default_retention_days >= 1 && var.object_lock.default_retention_days <= 36500 && floor(var.object_lock.default_retention_days) == var.object_lock.default_retention_days, false))
    error_message = "object_lock.default_retention_days needs object_lock.enabled and must be a whole number from 1 to 36500."
  }
}

variable "force_destroy" {
  description = "Let `terraform destroy` delete a bucket that contains objects. Only for tests."
  type        = bool
  default     = false
  nullable    = false
}

variable "tags" {
  description = "Tags of the bucket."
  type        = map(string)
  default     = {}
  nullable    = false
}
