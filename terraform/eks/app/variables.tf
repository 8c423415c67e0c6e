variable "namespace" {
  description = "Namespace of everything of the service in the cluster."
  type        = string
  default     = "mirrorsite"
  nullable    = false
}

variable "image" {
  description = "Image with the tag or digest of the release."
  type        = string
  nullable    = false
}

variable "host" {
  description = "Public name of the service, whose DNS record points to the load balancer."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9-]+([.][a-z0-9-]+)+$", var.host))
    error_message = "host must be a host name without scheme or port."
  }
}

variable "load_balancer" {
  description = "The application load balancer: internal or facing the internet, who may reach it (CIDR blocks; empty: all), and the certificate (ACM) with which it ends TLS."
  type = object({
    internal        = optional(bool, true)
    source_ranges   = optional(list(string), [])
    certificate_arn = string
  })
  nullable = false

  validation {
    condition     = can(regex("^arn:[a-z-]+:acm:[a-z0-9-]+:[0-9]{12}:certificate/.+$", var.load_balancer.certificate_arn))
    error_message = "load_balancer.certificate_arn must be the full ARN of a certificate in ACM."
  }

  validation {
    condition     = alltrue([for cidr in var.load_balancer.source_ranges : can(cidrhost(cidr, 0))])
    error_message = "load_balancer.source_ranges must be CIDR blocks."
  }
}

variable "autoscaling" {
  description = "Number of web pods, from min_replicas to max_replicas, by the CPU they use in percent of what they ask for."
  type = object({
    min_replicas   = optional(number, 3)
    max_replicas   = optional(number, 12)
    target_percent = optional(number, 70)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.autoscaling.min_replicas >= 3
    error_message = "autoscaling.min_replicas must be at least 3: one pod for each zone."
  }
}

variable "resources" {
  description = "Requests and limits of each container; see modules/k8s/deployment."
  type = object({
    # So little that the autoscaler sees a pod whose uploads wait for the store:
    # docs/performance.md, "Limits".
    cpu_request    = optional(string, "250m")
    cpu_limit      = optional(string)
    memory_request = optional(string, "384Mi")
    memory_limit   = optional(string, "768Mi")
  })
  default  = {}
  nullable = false
}

variable "settings" {
  description = "Environment variables of the service that are no secret, by their names; see modules/k8s/deployment. UPLOAD_AUTH is token unless given; hosts, HTTPS and proxies follow from host."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "audit_public_keys" {
  description = "AUDIT_PUBLIC_KEYS: the public half of the key in Secrets Manager and earlier ones, from sre/audit-public-key."
  type        = string
  nullable    = false
}

variable "database_ca_bundle" {
  description = "Certificates (PEM) of RDS's authorities in the region, as AWS publishes them. With it connections say sslmode=verify-full, without it sslmode=require."
  type        = string
  default     = null
}

variable "cron_jobs" {
  description = "Changes to the schedules; see modules/k8s/deployment."
  type = map(object({
    schedule = optional(string)
    suspend  = optional(bool, false)
  }))
  default  = {}
  nullable = false
}

variable "pods_boundary" {
  description = "Keep the pods' roles within the permissions boundary that the root pipeline makes; its role makes no others. False where that root is not applied."
  type        = bool
  default     = true
  nullable    = false
}

variable "external_secrets" {
  description = "The External Secrets Operator: version of its chart, and how often it looks for new values."
  type = object({
    chart_version    = optional(string, "2.9.0")
    refresh_interval = optional(string, "1m")
  })
  default  = {}
  nullable = false
}

variable "reloader_chart_version" {
  description = "Version of the chart of Reloader, which rolls the pods when a Secret of theirs has changed, as when RDS changed the password. Null: no Reloader; secrets_revision is then raised by hand."
  type        = string
  default     = "2.2.9"
}

variable "registry_server" {
  description = "Host of a private registry other than ECR. Null: the image needs no pull secret."
  type        = string
  default     = null
}

variable "secrets_revision" {
  description = "Raise it by one to replace the pods after a secret changed."
  type        = number
  default     = 1
  nullable    = false
}

variable "metrics_namespace" {
  description = "Namespace from which metrics are scraped. Null: none."
  type        = string
  default     = null
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
