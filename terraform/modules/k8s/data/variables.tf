variable "namespace" {
  description = "Namespace of the database and the object store."
  type        = string
  nullable    = false
}

variable "name" {
  description = "Beginning of all names."
  type        = string
  default     = "mirrorsite"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,22}[a-z0-9])?$", var.name))
    error_message = "name must be a DNS label of at most 24 characters that starts with a letter."
  }
}

variable "client_labels" {
  description = "Labels of the pods that may connect; nobody else may, where the cluster enforces network policies."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(var.client_labels) > 0
    error_message = "client_labels must name at least one label: an empty selector would let every pod in."
  }
}

variable "storage_class_name" {
  description = "Storage class of the volumes. Null: the cluster's default."
  type        = string
  default     = null
}

variable "postgres" {
  description = "The cluster's own PostgreSQL, for Minikube and trials."
  type = object({
    enabled  = optional(bool, false)
    image    = optional(string, "docker.io/library/postgres:18-bookworm")
    storage  = optional(string, "5Gi")
    database = optional(string, "mirrorsite")
    username = optional(string, "mirrorsite")
  })
  default  = {}
  nullable = false

  validation {
    condition     = can(regex("^[0-9]+(Mi|Gi|Ti)$", var.postgres.storage))
    error_message = "postgres.storage must look like \"5Gi\"."
  }

  validation {
    condition     = alltrue([for name in [var.postgres.database, var.postgres.username] : can(regex("^[a-z_][a-z0-9_]{0,62}$", name))])
    error_message = "postgres.database and postgres.username must be plain lower-case identifiers."
  }
}

variable "object_store" {
  description = "The cluster's own S3-compatible store (SeaweedFS), for Minikube and trials."
  type = object({
    enabled     = optional(bool, false)
    image       = optional(string, "docker.io/chrislusf/seaweedfs:4.48")
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
  description = "Raise it by one whenever a secret changed: the Secrets are then written again and the pods replaced."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.secrets_revision >= 1 && floor(var.secrets_revision) == var.secrets_revision
    error_message = "secrets_revision must be a whole number of at least 1."
  }
}

variable "postgres_password" {
  description = "Password of the database's user. PostgreSQL takes it when its volume is new; later it is changed by sre/rotate-secrets."
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
