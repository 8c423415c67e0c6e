variable "object_store" {
  description = "Where uploads go: \"cluster\" makes an S3-compatible store in the cluster, \"external\" uses bucket_name in AWS (bucket/ makes it) or at s3_endpoint_url."
  type        = string
  default     = "cluster"
  nullable    = false

  validation {
    condition     = contains(["cluster", "external"], var.object_store)
    error_message = "object_store must be cluster or external."
  }
}

variable "database" {
  description = "Where the records are: \"cluster\" makes a PostgreSQL in the cluster, \"external\" uses the one database_url names."
  type        = string
  default     = "cluster"
  nullable    = false

  validation {
    condition     = contains(["cluster", "external"], var.database)
    error_message = "database must be cluster or external."
  }
}

variable "region" {
  description = "AWS region of the bucket; with a store in the cluster only a name that requests are signed with."
  type        = string
  default     = "eu-west-1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the name of an AWS region, as in \"eu-west-1\"."
  }
}

variable "bucket_name" {
  description = "Name of the uploads bucket."
  type        = string
  default     = "mirrorsite-uploads"
  nullable    = false
}

variable "s3_endpoint_url" {
  description = "Address of an external store other than AWS. Null: AWS."
  type        = string
  default     = null
}

variable "namespace" {
  description = "Namespace of everything; it must exist, as agent/ makes it."
  type        = string
  default     = "mirrorsite"
  nullable    = false
}

variable "image" {
  description = "Image with the tag or digest of the release."
  type        = string
  nullable    = false
}

variable "image_pull_policy" {
  description = "When nodes pull the image: IfNotPresent, Always or Never."
  type        = string
  default     = "IfNotPresent"
  nullable    = false
}

variable "replicas" {
  description = "Number of web pods while autoscaling is off."
  type        = number
  default     = 2
  nullable    = false
}

variable "autoscaling" {
  description = "HorizontalPodAutoscaler; needs a metrics server."
  type = object({
    enabled        = optional(bool, false)
    min_replicas   = optional(number, 2)
    max_replicas   = optional(number, 6)
    target_percent = optional(number, 70)
  })
  default  = {}
  nullable = false
}

variable "cron_jobs" {
  description = "Changes to the schedules, by name; see modules/k8s/deployment."
  type = map(object({
    schedule = optional(string)
    suspend  = optional(bool, false)
  }))
  default  = {}
  nullable = false
}

variable "backups" {
  description = "Copy the database into the bucket each night."
  type        = bool
  default     = true
  nullable    = false
}

variable "purge_after_days" {
  description = "Age in days at which uploads are purged."
  type        = number
  default     = 30
  nullable    = false
}

variable "settings" {
  description = "Environment variables of the service that are no secret, by their names; see modules/k8s/deployment."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "audit_public_keys" {
  description = "AUDIT_PUBLIC_KEYS: the public half of audit_signing_key and earlier ones, from sre/audit-public-key."
  type        = string
  nullable    = false
}

variable "database_ca_bundle" {
  description = "Certificates (PEM) of the authorities that sign an external database's certificate, for a database_url with sslmode=verify-full."
  type        = string
  default     = null
}

variable "service" {
  description = "The load balancer; see modules/k8s/service."
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
  description = "Sizes of the volumes of the cluster's own database and store."
  type = object({
    storage_class_name = optional(string)
    postgres_storage   = optional(string, "5Gi")
    store_storage      = optional(string, "10Gi")
  })
  default  = {}
  nullable = false
}

variable "egress" {
  description = "Further addresses the pods may connect to, such as an external database or cache. What the object store and the cluster's own database need is allowed without it."
  type = list(object({
    ports = list(number)
    cidrs = list(string)
  }))
  default  = []
  nullable = false
}

variable "metrics_namespace" {
  description = "Namespace from which metrics are scraped. Null: none."
  type        = string
  default     = null
}

variable "registry_server" {
  description = "Host of the private registry. Null: the image needs no pull secret."
  type        = string
  default     = null
}

# Secrets are given as TF_VAR_… in the environment, at every plan and apply.

variable "secrets_revision" {
  description = "Raise it by one whenever one of the secrets below changed: they are then written again and the pods replaced."
  type        = number
  default     = 1
  nullable    = false
}

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
  description = "Password of the cluster's own database, at least 16 characters, for database = \"cluster\"."
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
  description = "Access key the service uses: of a user in AWS with the policy that bucket/ prints, or of the cluster's own store, which takes any 8 to 64 letters and digits. Null where pods have a role."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = var.object_store == "external" || var.aws_access_key_id != null
    error_message = "aws_access_key_id must be given for the cluster's own store: it is made with it."
  }
}

variable "aws_secret_access_key" {
  description = "Secret of the access key; for the cluster's own store at least 16 characters."
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

variable "registry_username" {
  description = "User of the registry: a deploy token's, never a job token's."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true
}

variable "registry_password" {
  description = "Password of the registry's user."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true
}
