variable "namespace" {
  description = "Namespace of the database and the object store."
  type        = string
  nullable    = false
}

variable "name" {
  description = "Prefix of all names."
  type        = string
  nullable    = false
}

variable "client_labels" {
  description = "Labels of the pods that may connect, where the cluster enforces network policies."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(var.client_labels) > 0
    error_message = "client_labels must name at least one label: an empty selector would admit every pod."
  }
}

variable "storage_class_name" {
  description = "Storage class of the volumes. Null: the cluster's default."
  type        = string
  default     = null
}

variable "postgres" {
  description = "PostgreSQL in the cluster."
  type = object({
    enabled = optional(bool, false)
    storage = optional(string, "5Gi")
  })
  default  = {}
  nullable = false

  validation {
    condition     = can(regex("^[0-9]+(Mi|Gi|Ti)$", var.postgres.storage))
    error_message = "postgres.storage must look like \"5Gi\"."
  }
}

variable "object_store" {
  description = "S3-compatible object store (SeaweedFS) in the cluster."
  type = object({
    enabled     = optional(bool, false)
    storage     = optional(string, "10Gi")
    bucket_name = optional(string, "mirrorsite-uploads")
  })
  default  = {}
  nullable = false

  validation {
    condition     = can(regex("^[0-9]+(Mi|Gi|Ti)$", var.object_store.storage))
    error_message = "object_store.storage must look like \"10Gi\"."
  }

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.object_store.bucket_name))
    error_message = "object_store.bucket_name must be 3 to 63 characters: lower-case letters, digits and inner hyphens."
  }
}

variable "secrets_revision" {
  description = "Raise it by one after changing a secret; see modules/k8s/deployment."
  type        = number
  default     = 1
  nullable    = false
}

variable "postgres_password" {
  description = "Password of the database's user. PostgreSQL reads it only when its volume is new; sre/rotate-secrets changes it later."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = !var.postgres.enabled == (var.postgres_password == null) && try(length(var.postgres_password) >= 16, true)
    error_message = "postgres_password must be at least 16 characters long, and is given exactly when postgres is enabled."
  }
}

variable "object_store_access_key" {
  description = "Access key of the store's only user."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = !var.object_store.enabled == (var.object_store_access_key == null) && (var.object_store_access_key == null || can(regex("^[A-Za-z0-9]{8,64}$", var.object_store_access_key)))
    error_message = "object_store_access_key must be 8 to 64 letters and digits, and is given exactly when object_store is enabled."
  }
}

variable "object_store_secret_key" {
  description = "Secret of the store's only user."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = !var.object_store.enabled == (var.object_store_secret_key == null) && try(length(var.object_store_secret_key) >= 16, true)
    error_message = "object_store_secret_key must be at least 16 characters long, and is given exactly when object_store is enabled."
  }
}
