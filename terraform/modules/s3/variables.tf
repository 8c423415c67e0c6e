variable "bucket_name" {
  description = "Name of the bucket. Names are global to all of AWS, so put something of your own into it."
  type        = string
  nullable    = false

  validation {
    # A dot breaks TLS on virtual-hosted addresses, so names with one are refused although S3 allows them.
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name must be 3 to 63 characters: lower-case letters, digits and inner hyphens, no dots."
  }
}

variable "break_glass_principal_arns" {
  description = "ARNs (wildcards allowed) of the principals that may delete under audit/ all the same. Empty: nobody may, until this list is changed."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.break_glass_principal_arns : can(regex("^arn:[a-z-]+:(iam|sts)::[0-9]{12}:[^*?].*$", arn))])
    error_message = "break_glass_principal_arns must be full IAM or STS ARNs with an account id that name somebody: a bare \"*\" would undo the protection."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the objects. Null: S3's own keys (AES256)."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the full ARN of a key or alias, or null."
  }
}

variable "object_lock" {
  description = "Object Lock of the whole bucket; it can only be switched on when the bucket is made. The service sets a retention on each audit copy itself, so a default retention, which holds for uploads too (they then cannot be purged before it ends), is left out unless default_retention_days is given."
  type = object({
    enabled                = optional(bool, false)
    default_retention_mode = optional(string, "GOVERNANCE")
    default_retention_days = optional(number)
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(["GOVERNANCE", "COMPLIANCE"], var.object_lock.default_retention_mode)
    error_message = "object_lock.default_retention_mode must be GOVERNANCE or COMPLIANCE."
  }

  validation {
    condition     = var.object_lock.default_retention_days == null || (var.object_lock.enabled && try(var.object_lock.default_retention_days >= 1 && var.object_lock.default_retention_days <= 36500 && floor(var.object_lock.default_retention_days) == var.object_lock.default_retention_days, false))
    error_message = "object_lock.default_retention_days needs object_lock.enabled and must be a whole number from 1 to 36500."
  }
}

variable "noncurrent_version_expiration_days" {
  description = "Days after which an overwritten or deleted upload is permanently deleted. Versions under audit/ never expire."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.noncurrent_version_expiration_days >= 1 && floor(var.noncurrent_version_expiration_days) == var.noncurrent_version_expiration_days
    error_message = "noncurrent_version_expiration_days must be a whole number of at least 1."
  }
}

variable "backup_expiration_days" {
  description = "Days after which a copy of the database under backups/ is deleted."
  type        = number
  default     = 35
  nullable    = false

  validation {
    condition     = var.backup_expiration_days >= 1 && floor(var.backup_expiration_days) == var.backup_expiration_days
    error_message = "backup_expiration_days must be a whole number of at least 1."
  }
}

variable "abort_incomplete_multipart_days" {
  description = "Days after which parts of an upload that was never completed are removed; they cost money and cannot be seen in a listing."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.abort_incomplete_multipart_days >= 1 && floor(var.abort_incomplete_multipart_days) == var.abort_incomplete_multipart_days
    error_message = "abort_incomplete_multipart_days must be a whole number of at least 1."
  }
}

variable "force_destroy" {
  description = "Let `terraform destroy` delete a bucket that still holds objects. Only for tests."
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
