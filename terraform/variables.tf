variable "object_store" {
  description = "Where uploads are stored: \"cluster\" creates an S3-compatible store in the cluster, \"external\" uses bucket_name in AWS (created by bucket/) or at s3_endpoint_url."
  type        = string
  default     = "cluster"
  nullable    = false

  validation {
    condition     = contains(["cluster", "external"], var.object_store)
    error_message = "object_store must be cluster or external."
  }
}

variable "database" {
  description = "Where records are stored: \"cluster\" creates a PostgreSQL in the cluster, \"external\" uses database_url."
  type        = string
  default     = "cluster"
  nullable    = false

  validation {
    condition     = contains(["cluster", "external"], var.database)
    error_message = "database must be cluster or external."
  }
}

variable "bucket_name" {
  description = "Name of the uploads bucket."
  type        = string
  default     = "mirrorsite-uploads"
  nullable    = false
}

variable "s3_endpoint_url" {
  description = "Address of an external object store other than AWS. Null: AWS."
  type        = string
  default     = null
}

variable "backups" {
  description = "Back up the database to the bucket each night."
  type        = bool
  default     = true
  nullable    = false
}

variable "settings" {
  description = "Environment variables of the service that are not secret; see modules/k8s/deployment."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "service" {
  description = "The Service; see modules/k8s/service."
  type = object({
    type                    = optional(string, "LoadBalancer")
    annotations             = optional(map(string), {})
    load_balancer_class     = optional(string)
    source_ranges           = optional(list(string), [])
    external_traffic_policy = optional(string, "Local")
  })
  default  = {}
  nullable = false
}

variable "cluster_data" {
  description = "Volumes of the database and the object store in the cluster."
  type = object({
    storage_class_name = optional(string)
    postgres_storage   = optional(string, "5Gi")
    store_storage      = optional(string, "10Gi")
  })
  default  = {}
  nullable = false
}

variable "egress" {
  description = "Further addresses the pods may connect to, such as an external database or cache. Connections to the object store and to a database in the cluster are always allowed."
  type = list(object({
    ports = list(number)
    cidrs = list(string)
  }))
  default  = []
  nullable = false
}

# Secrets are given as TF_VAR_… in the environment, at every plan and apply.

variable "secret_key" {
  description = "SECRET_KEY of the service, at least 50 characters."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true
}

variable "database_url" {
  description = "DATABASE_URL, for database = \"external\"."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = (var.database == "external") == (var.database_url != null)
    error_message = "database_url is given exactly when database is \"external\"."
  }
}

variable "postgres_password" {
  description = "Password of the database in the cluster, at least 16 characters, for database = \"cluster\"."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = (var.database == "cluster") == (var.postgres_password != null)
    error_message = "postgres_password is given exactly when database is \"cluster\"."
  }
}

variable "aws_access_key_id" {
  description = "Access key of the service: of an AWS user with the policy that bucket/ outputs, or for the store in the cluster any 8 to 64 letters and digits. Null where pods have a role."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = var.object_store == "external" || var.aws_access_key_id != null
    error_message = "aws_access_key_id is required for the store in the cluster, which is created with it."
  }
}

variable "aws_secret_access_key" {
  description = "Secret of the access key; for the store in the cluster at least 16 characters."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true
}

variable "audit_signing_key" {
  description = "AUDIT_SIGNING_KEY: the 32 bytes of an Ed25519 seed in base64."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true
}
