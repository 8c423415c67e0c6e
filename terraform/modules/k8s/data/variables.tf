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
  description = "The cluster's own PostgreSQL: one pod with one volume, for Minikube and trials. Null: none."
  type = object({
    image          = optional(string, "docker.io/library/postgres:18-bookworm")
    user_id        = optional(number, 999)
    storage        = optional(string, "5Gi")
    database       = optional(string, "mirrorsite")
    username       = optional(string, "mirrorsite")
    memory_request = optional(string, "128Mi")
    memory_limit   = optional(string, "512Mi")
  })
  default = null

  validation {
    condition     = var.postgres == null || alltrue([for quantity in [try(var.postgres.storage, ""), try(var.postgres.memory_request, ""), try(var.postgres.memory_limit, "")] : can(regex("^[0-9]+(Ki|Mi|Gi|Ti)$", quantity))])
    error_message = "postgres.storage, memory_request and memory_limit must look like \"5Gi\"."
  }

  validation {
    condition     = var.postgres == null || alltrue([for name in [try(var.postgres.database, ""), try(var.postgres.username, "")] : can(regex("^[a-z_][a-z0-9_]{0,62}$", name))])
    error_message = "postgres.database and postgres.username must be plain lower-case identifiers."
  }
}

variable "object_store" {
  description = "The cluster's own S3-compatible store (SeaweedFS): one pod with one volume, for Minikube and trials. Null: none."
  type = object({
    image          = optional(string, "docker.io/chrislusf/seaweedfs:4.48")
    user_id        = optional(number, 1000)
    storage        = optional(string, "10Gi")
    bucket_name    = optional(string, "mirrorsite-uploads")
    memory_request = optional(string, "192Mi")
    memory_limit   = optional(string, "1Gi")
  })
  default = null

  validation {
    condition     = var.object_store == null || alltrue([for quantity in [try(var.object_store.storage, ""), try(var.object_store.memory_request, ""), try(var.object_store.memory_limit, "")] : can(regex("^[0-9]+(Ki|Mi|Gi|Ti)$", quantity))])
    error_message = "object_store.storage, memory_request and memory_limit must look like \"10Gi\"."
  }

  validation {
    condition     = var.object_store == null || can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", try(var.object_store.bucket_name, "")))
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

# Ephemeral: Terraform writes them neither into the state nor into a saved plan.

variable "postgres_password" {
  description = "Password of the database's user. PostgreSQL takes it when its volume is new; afterwards it must be changed in the database as well."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = (var.postgres == null) == (var.postgres_password == null) && try(length(var.postgres_password) >= 16, true)
    error_message = "postgres_password must be at least 16 characters long, and is given exactly when there is a postgres."
  }
}

variable "object_store_access_key" {
  description = "Access key of the store's only user."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = (var.object_store == null) == (var.object_store_access_key == null) && (var.object_store_access_key == null || can(regex("^[A-Za-z0-9]{8,64}$", var.object_store_access_key)))
    error_message = "object_store_access_key must be 8 to 64 letters and digits, and is given exactly when there is an object_store."
  }
}

variable "object_store_secret_key" {
  description = "Secret of the store's only user."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = (var.object_store == null) == (var.object_store_secret_key == null) && try(length(var.object_store_secret_key) >= 16, true)
    error_message = "object_store_secret_key must be at least 16 characters long, and is given exactly when there is an object_store."
  }
}
