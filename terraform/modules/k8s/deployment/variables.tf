variable "name" {
  description = "Name of the Deployment, prefix of all other names, and name of the Service in front."
  type        = string
  default     = "mirrorsite"
  nullable    = false

  validation {
    # The longest name, a migration Job's, must have at most 63 characters.
    condition     = can(regex("^[a-z]([a-z0-9-]{0,22}[a-z0-9])?$", var.name))
    error_message = "name must be a DNS label of at most 24 characters that starts with a letter."
  }
}

variable "resources" {
  description = "Requests of the web container (other pods request less memory) and limits of each container. No CPU limit unless cpu_limit is given: throttling delays requests even on an idle node."
  type = object({
    cpu_request    = optional(string, "100m")
    cpu_limit      = optional(string)
    memory_request = optional(string, "320Mi")
    memory_limit   = optional(string, "512Mi")
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for quantity in [var.resources.cpu_request, coalesce(var.resources.cpu_limit, "1")] : can(regex("^[0-9]+(\\.[0-9]+)?m?$", quantity))])
    error_message = "CPU quantities must look like \"100m\" or \"0.5\"."
  }

  validation {
    condition     = alltrue([for quantity in [var.resources.memory_request, var.resources.memory_limit] : can(regex("^[0-9]+(Ki|Mi|Gi)$", quantity))])
    error_message = "Memory quantities must look like \"256Mi\"."
  }
}

variable "backups" {
  description = "Nightly copies of the database in the bucket, under backups/, and how many are kept (null: all; in AWS the bucket's lifecycle deletes them). Disable where the database has snapshots."
  type = object({
    enabled = optional(bool, true)
    keep    = optional(number)
  })
  default  = {}
  nullable = false
}

variable "spread" {
  description = "How pods are spread over nodes and zones: ScheduleAnyway is a preference, so that all pods start on a single node; DoNotSchedule leaves a pod pending rather than placing it beside another."
  type = object({
    nodes = optional(string, "ScheduleAnyway")
    zones = optional(string, "ScheduleAnyway")
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for demand in [var.spread.nodes, var.spread.zones] : contains(["ScheduleAnyway", "DoNotSchedule"], demand)])
    error_message = "spread.nodes and spread.zones must be ScheduleAnyway or DoNotSchedule."
  }
}

variable "node_loss_toleration_seconds" {
  description = "Seconds after which the pods of an unreachable node are started elsewhere. Null: the cluster's default, 300."
  type        = number
  default     = null

  validation {
    condition     = var.node_loss_toleration_seconds == null || try(var.node_loss_toleration_seconds >= 10 && var.node_loss_toleration_seconds <= 3600 && floor(var.node_loss_toleration_seconds) == var.node_loss_toleration_seconds, false)
    error_message = "node_loss_toleration_seconds must be a whole number from 10 to 3600, or null."
  }
}

variable "annotations" {
  description = "Annotations of the Deployments, for operators that watch them."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "rollout" {
  description = "How pods are replaced: how many pods more than usual may run (a number or percentage), how many seconds a terminating pod continues to serve while load balancers still send to it, and how many minutes an apply waits."
  type = object({
    max_surge     = optional(string, "1")
    drain_seconds = optional(number, 15)
    minutes       = optional(number, 10)
  })
  default  = {}
  nullable = false

  validation {
    condition     = can(regex("^[1-9][0-9]*%?$", var.rollout.max_surge))
    error_message = "rollout.max_surge must be a number or percentage above 0: a pod is removed only when its successor is ready."
  }

  validation {
    condition     = var.rollout.drain_seconds >= 5 && var.rollout.drain_seconds <= 300 && floor(var.rollout.drain_seconds) == var.rollout.drain_seconds
    error_message = "rollout.drain_seconds must be a whole number from 5 to 300."
  }

  validation {
    condition     = var.rollout.minutes >= 1 && var.rollout.minutes <= 60 && floor(var.rollout.minutes) == var.rollout.minutes
    error_message = "rollout.minutes must be a whole number from 1 to 60."
  }
}

variable "settings" {
  description = "Environment variables of the service that are not secret, by the names in docs/settings.md. Those that this module derives from its other variables are refused."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setintersection(keys(var.settings), ["AUDIT_SIGNING_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "CANARY_TOKEN", "DATABASE_URL", "SECRET_KEY"])) == 0
    error_message = "settings are stored in a ConfigMap; secrets have variables of their own."
  }

  validation {
    condition     = length(setintersection(keys(var.settings), ["AUDIT_PUBLIC_KEYS", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3", "AWS_STORAGE_BUCKET_NAME", "BIND", "CANARY_BASE_URL", "GRACEFUL_TIMEOUT_SECONDS", "METRICS_BIND"])) == 0
    error_message = "settings contains a variable that this module sets itself."
  }

  validation {
    condition     = !contains([for host in split(",", lookup(var.settings, "ALLOWED_HOSTS", "")) : trimspace(host)], "*")
    error_message = "settings.ALLOWED_HOSTS must not contain \"*\": any Host header would be accepted."
  }

  # mirrorsite.W001 of the service's own check, before anything is deployed.
  validation {
    condition     = contains(["0", "no", "false", "off"], lower(lookup(var.settings, "HTTPS_ONLY", "true"))) || lookup(var.settings, "TRUSTED_PROXIES", "0") != "0"
    error_message = "settings.HTTPS_ONLY (true by default) needs settings.TRUSTED_PROXIES of at least 1: the pods speak plain HTTP, so every request would be redirected indefinitely. Without a proxy that terminates TLS set HTTPS_ONLY to \"false\"."
  }

  validation {
    condition     = !can(regex("//[^/]*@", lookup(var.settings, "CACHE_URL", "")))
    error_message = "settings.CACHE_URL is stored in a ConfigMap and must not contain a password."
  }
}

variable "bucket" {
  description = "The uploads bucket: name, region and, where it is not in AWS, the object store's address."
  type = object({
    name         = string
    region       = string
    endpoint_url = optional(string)
  })
  nullable = false

  validation {
    condition     = var.bucket.endpoint_url == null || can(regex("^https?://[^/\\s]+$", var.bucket.endpoint_url))
    error_message = "bucket.endpoint_url must be scheme, host and port without a path, or null for AWS."
  }
}

variable "existing_secrets" {
  description = "Names of Secrets that another operator maintains (such as External Secrets) and this module does not create. They need the same keys."
  type = object({
    application = optional(string)
    audit       = optional(string)
  })
  default  = {}
  nullable = false
}

variable "secret_key" {
  description = "SECRET_KEY of the service."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = (var.existing_secrets.application != null) == (var.secret_key == null) && try(length(var.secret_key) >= 50, true)
    error_message = "secret_key must be at least 50 characters long, and left out if existing_secrets.application is given."
  }
}

variable "database_url" {
  description = "DATABASE_URL of the service, including the password."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = (var.existing_secrets.application != null) == (var.database_url == null) && (var.database_url == null || can(regex("^postgres(ql)?://", var.database_url)))
    error_message = "database_url must be a postgres:// address, and left out if existing_secrets.application is given."
  }
}

variable "aws_access_key_id" {
  description = "Static access key of the object store. Null where pods have a role."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true
}

variable "aws_secret_access_key" {
  description = "Secret of the static access key."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = (var.aws_access_key_id == null) == (var.aws_secret_access_key == null)
    error_message = "aws_access_key_id and aws_secret_access_key must be given together or not at all."
  }
}

variable "audit_signing_key" {
  description = "AUDIT_SIGNING_KEY: the 32 bytes of an Ed25519 seed in base64. Only the sealer receives it."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = (var.existing_secrets.audit != null) == (var.audit_signing_key == null) && (var.audit_signing_key == null || can(regex("^[A-Za-z0-9+/]{43}=$", var.audit_signing_key)))
    error_message = "audit_signing_key must be 32 bytes in base64 (44 characters), and left out if existing_secrets.audit is given."
  }
}

variable "egress" {
  description = "Where the pods may connect to, besides name resolution and, for the canary, the web pods: addresses (CIDR) or pods of the namespace by their labels, and the ports there."
  type = list(object({
    ports      = list(number)
    cidrs      = optional(list(string), [])
    pod_labels = optional(map(string), {})
  }))
  nullable = false

  validation {
    condition     = alltrue([for rule in var.egress : length(rule.ports) > 0 && (length(rule.cidrs) > 0) != (length(rule.pod_labels) > 0)])
    error_message = "Each egress rule needs ports, and either cidrs or pod_labels: without any of them it would allow everything."
  }

  validation {
    condition     = alltrue([for cidr in flatten(var.egress[*].cidrs) : can(cidrhost(cidr, 0))])
    error_message = "egress cidrs must be CIDR blocks, as in \"10.0.0.0/16\"."
  }
}
