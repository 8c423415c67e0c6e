variable "host" {
  description = "Public host name of the service, whose DNS record points to the load balancer."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9-]+([.][a-z0-9-]+)+$", var.host))
    error_message = "host must be a host name without scheme or port."
  }
}

variable "load_balancer" {
  description = "The application load balancer: internal or internet-facing, the addresses (CIDR) that may reach it (empty: all), and its TLS certificate in ACM."
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
  description = "Range of the number of web pods, and the CPU use, in percent of their requests, that the autoscaler aims at."
  type = object({
    min_replicas   = optional(number, 3)
    max_replicas   = optional(number, 12)
    target_percent = optional(number, 70)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.autoscaling.min_replicas >= 3
    error_message = "autoscaling.min_replicas must be at least 3: one pod per zone."
  }
}

variable "resources" {
  description = "Requests and limits of the containers; see modules/k8s/deployment."
  type = object({
    # Low, because uploads mostly wait for the store: a pod whose threads all upload must still
    # use more than target_percent of this. A slow store is not noticed: docs/performance.md,
    # "Limits".
    cpu_request    = optional(string, "250m")
    cpu_limit      = optional(string)
    memory_request = optional(string, "384Mi")
    memory_limit   = optional(string, "768Mi")
  })
  default  = {}
  nullable = false
}

variable "settings" {
  description = "Environment variables of the service that are not secret; see modules/k8s/deployment. UPLOAD_AUTH defaults to token; hosts, HTTPS and proxies are derived from host."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "egress" {
  description = "Further addresses the pods may connect to, such as the cache of settings.CACHE_URL. Connections to S3 and the database are always allowed."
  type = list(object({
    ports = list(number)
    cidrs = list(string)
  }))
  default  = []
  nullable = false
}

variable "pods_boundary" {
  description = "Give the pods' roles the permissions boundary that the root pipeline creates; the pipeline's role may create no others. False where that root is not applied."
  type        = bool
  default     = true
  nullable    = false
}

variable "external_secrets" {
  description = "The External Secrets Operator: chart version, and how often it fetches values."
  type = object({
    chart_version    = optional(string, "2.9.0")
    refresh_interval = optional(string, "1m")
  })
  default  = {}
  nullable = false
}

variable "reloader_chart_version" {
  description = "Chart version of Reloader, which replaces the pods when one of their Secrets changes, as when RDS rotates the password. Null: no Reloader; raise secrets_revision by hand."
  type        = string
  default     = "2.2.9"
}
