variable "bucket_name" {
  description = "Name of the uploads bucket, unique in all of AWS."
  type        = string
  nullable    = false
}

variable "bucket" {
  description = "Options of the bucket; see modules/s3."
  type = object({
    break_glass_principal_arns = optional(list(string), [])
    kms_key_arn                = optional(string)
    object_lock_enabled        = optional(bool, true)
    default_retention_days     = optional(number)
    force_destroy              = optional(bool, false)
  })
  default  = {}
  nullable = false
}

variable "instance_class" {
  description = "Instance class of the database."
  type        = string
  default     = "db.m7g.large"
  nullable    = false

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.instance_class))
    error_message = "instance_class must look like \"db.m7g.large\"."
  }
}

variable "engine_version" {
  description = "Version of PostgreSQL, with or without the minor version."
  type        = string
  default     = "18"
  nullable    = false

  validation {
    condition     = can(regex("^1[6-9](\\.[0-9]+)?$", var.engine_version))
    error_message = "engine_version must be PostgreSQL 16 or later."
  }
}

variable "storage" {
  description = "Size of the database's volume in GiB, and the size up to which RDS extends it."
  type = object({
    allocated = optional(number, 50)
    max       = optional(number, 500)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.storage.allocated >= 20 && var.storage.max >= var.storage.allocated
    error_message = "storage needs 20 <= allocated <= max."
  }
}

variable "events_topic_arn" {
  description = "ARN of an SNS topic for events: low storage, failover and failure of the database. Null: none."
  type        = string
  default     = null

  validation {
    condition     = var.events_topic_arn == null || can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", var.events_topic_arn))
    error_message = "events_topic_arn must be the full ARN of an SNS topic."
  }
}

variable "backup_days" {
  description = "Days for which point-in-time recovery is possible."
  type        = number
  default     = 35
  nullable    = false

  validation {
    condition     = var.backup_days >= 7 && var.backup_days <= 35 && floor(var.backup_days) == var.backup_days
    error_message = "backup_days must be a whole number from 7 to 35."
  }
}

variable "rotation_schedule" {
  description = "When Secrets Manager rotates the database's password, as its cron expression in UTC: within two hours from then. Default: the first of each month, 03:00."
  type        = string
  default     = "cron(0 3 1 * ? *)"
  nullable    = false

  validation {
    condition     = can(regex("^cron\\(0 [0-9*/,-]+ [^ ]+ [^ ]+ [^ ]+ [^ ]+\\)$", var.rotation_schedule))
    error_message = "rotation_schedule must be cron(0 HOUR DAY MONTH WEEKDAY YEAR), as in \"cron(0 3 1 * ? *)\": Secrets Manager starts on the hour."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the database; without it, no final snapshot is taken."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = var.deletion_protection || var.environment != "production"
    error_message = "deletion_protection is mandatory in production; an operator may disable it by hand before a deletion."
  }
}

variable "registry" {
  description = "Create a registry (ECR) for the images. False where they are in GitLab's."
  type        = bool
  default     = false
  nullable    = false
}
