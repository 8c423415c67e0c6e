# Linked into the roots that deploy the service.

variable "namespace" {
  description = "Namespace of the service. It must exist; on Minikube agent/ creates it, on EKS the root app."
  type        = string
  default     = "mirrorsite"
  nullable    = false
}

variable "image" {
  description = "Image of the release, with its tag or digest."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[a-f0-9]{64})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image must end with a digest or with a tag other than \"latest\": without one there is nothing to roll back to."
  }
}

variable "image_pull_policy" {
  description = "When nodes pull the image. IfNotPresent allows images loaded into Minikube."
  type        = string
  default     = "IfNotPresent"
  nullable    = false

  validation {
    condition     = contains(["Always", "IfNotPresent", "Never"], var.image_pull_policy)
    error_message = "image_pull_policy must be Always, IfNotPresent or Never."
  }
}

variable "cron_jobs" {
  description = "Changes to the schedules, by name: reconcile-uploads, reconcile-all-uploads, purge-uploads, verify-audit, verify-whole-audit, canary, backup-database."
  type = map(object({
    schedule = optional(string)
    suspend  = optional(bool, false)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = length(setsubtract(keys(var.cron_jobs), ["reconcile-uploads", "reconcile-all-uploads", "purge-uploads", "verify-audit", "verify-whole-audit", "canary", "backup-database"])) == 0
    error_message = "cron_jobs contains a name that its description does not list."
  }

  validation {
    condition     = alltrue([for job in values(var.cron_jobs) : job.schedule == null || can(regex("^(\\S+\\s){4}\\S+$", job.schedule))])
    error_message = "A schedule has five fields, as in \"*/10 * * * *\"."
  }
}

variable "purge_after_days" {
  description = "Age in days at which uploads are purged."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.purge_after_days >= 1 && floor(var.purge_after_days) == var.purge_after_days
    error_message = "purge_after_days must be a whole number of at least 1."
  }
}

variable "metrics_namespace" {
  description = "Namespace that may scrape the metrics port (9464). Null: none."
  type        = string
  default     = null
}

variable "audit_public_keys" {
  description = "AUDIT_PUBLIC_KEYS: the public keys of the present and earlier signing keys, as sre/audit-public-key prints them. Seals are verified with them."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9a-f]{16}:[A-Za-z0-9+/]{43}=(,[0-9a-f]{16}:[A-Za-z0-9+/]{43}=)*$", var.audit_public_keys))
    error_message = "audit_public_keys must be one or more of id:base64, as sre/audit-public-key prints them."
  }
}

variable "database_ca_bundle" {
  description = "Certificates (PEM) of the authorities that sign the database's certificate, for connections with sslmode=verify-full. Null: verify-full works only with authorities that the image trusts."
  type        = string
  default     = null

  validation {
    condition     = var.database_ca_bundle == null || try(startswith(trimspace(var.database_ca_bundle), "-----BEGIN CERTIFICATE-----") && endswith(trimspace(var.database_ca_bundle), "-----END CERTIFICATE-----") && !strcontains(var.database_ca_bundle, "PRIVATE KEY") && length(var.database_ca_bundle) < 1000000, false)
    error_message = "database_ca_bundle must be certificates in PEM and nothing else, below 1 MB: it is stored in a ConfigMap."
  }
}

# Secrets are ephemeral: Terraform writes them neither to the state nor to a saved plan,
# and so cannot detect a change of one.

variable "secrets_revision" {
  description = "Raise it by one after changing a secret: the Secrets are then written again and the pods replaced."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.secrets_revision >= 1 && floor(var.secrets_revision) == var.secrets_revision
    error_message = "secrets_revision must be a whole number of at least 1."
  }
}

variable "registry_server" {
  description = "Host of a private registry that needs a pull secret. Null: none is created."
  type        = string
  default     = null

  validation {
    condition     = var.registry_server == null || can(regex("^[A-Za-z0-9.-]+(:[0-9]+)?$", var.registry_server))
    error_message = "registry_server must be a host, optionally with a port, without scheme or path."
  }
}

variable "registry_username" {
  description = "User of the registry: a deploy token's. A job token expires with its job, and rescheduled pods could not pull."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = (var.registry_server == null) == (var.registry_username == null)
    error_message = "registry_username and registry_server are given together."
  }
}

variable "registry_password" {
  description = "Password of the registry's user."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = (var.registry_server == null) == (var.registry_password == null)
    error_message = "registry_password and registry_server are given together."
  }
}
