variable "bucket_name" {
  description = "Name of the uploads bucket. Names are global to all of AWS, so put something of your own into it."
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
  description = "Size of the database."
  type        = string
  default     = "db.m7g.large"
  nullable    = false

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.instance_class))
    error_message = "instance_class must look like \"db.m7g.large\"."
  }
}

variable "engine_version" {
  description = "Version of PostgreSQL, major or with minor."
  type        = string
  default     = "17"
  nullable    = false

  validation {
    condition     = can(regex("^1[6-9](\\.[0-9]+)?$", var.engine_version))
    error_message = "engine_version must be PostgreSQL 16 or later."
  }
}

variable "storage" {
  description = "Size of the database's volume in GiB, and the size up to which it grows by itself."
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
  description = "ARN of an SNS topic that is told when the volume comes near its largest size, when the standby takes over, and when the database fails. Null: nobody is."
  type        = string
  default     = null

  validation {
    condition     = var.events_topic_arn == null || can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", var.events_topic_arn))
    error_message = "events_topic_arn must be the full ARN of a topic in SNS."
  }
}

variable "backup_days" {
  description = "Days of backups from which the database can be restored to any second."
  type        = number
  default     = 35
  nullable    = false

  validation {
    condition     = var.backup_days >= 7 && var.backup_days <= 35 && floor(var.backup_days) == var.backup_days
    error_message = "backup_days must be a whole number from 7 to 35."
  }
}

variable "rotation_schedule" {
  description = "When the database's password is changed by itself, as a cron expression of Secrets Manager in UTC: within two hours from then. By default on the first of each month at three."
  type        = string
  default     = "cron(0 3 1 * ? *)"
  nullable    = false

  validation {
    condition     = can(regex("^cron\\(0 [0-9*/,-]+ [^ ]+ [^ ]+ [^ ]+ [^ ]+\\)$", var.rotation_schedule))
    error_message = "rotation_schedule must be cron(0 HOUR DAY MONTH WEEKDAY YEAR), as in \"cron(0 3 1 * ? *)\": Secrets Manager begins at full hours."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the database, and take a last snapshot when it goes."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = var.deletion_protection || var.environment != "production"
    error_message = "production keeps its protection: take it off by hand, in the moment, if it ever must go."
  }
}

variable "registry" {
  description = "Make a registry (ECR) for the images. False where they come from GitLab's."
  type        = bool
  default     = false
  nullable    = false
}
