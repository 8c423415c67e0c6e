variable "namespace" {
  description = "Namespace of everything in this module."
  type        = string
  nullable    = false
}

variable "name" {
  description = "Name of the Deployment and beginning of all other names."
  type        = string
  default     = "mirrorsite"
  nullable    = false

  validation {
    # The longest name made of it, of a migration Job, must stay within 63 characters.
    condition     = can(regex("^[a-z]([a-z0-9-]{0,22}[a-z0-9])?$", var.name))
    error_message = "name must be a DNS label of at most 24 characters that starts with a letter."
  }
}

variable "image" {
  description = "Image with its tag or digest. The migration Job is named after it, so each release needs one of its own."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[a-f0-9]{64})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image must end with a tag other than \"latest\" or with a digest: a release that cannot be told from the last one cannot be rolled back."
  }
}

variable "image_pull_policy" {
  description = "When nodes pull the image. IfNotPresent lets Minikube use an image that was loaded into it."
  type        = string
  default     = "IfNotPresent"
  nullable    = false

  validation {
    condition     = contains(["Always", "IfNotPresent", "Never"], var.image_pull_policy)
    error_message = "image_pull_policy must be Always, IfNotPresent or Never."
  }
}

variable "replicas" {
  description = "Number of pods while autoscaling is off. From 2 on, a disruption budget keeps one of them through drains."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = var.replicas >= 1 && var.replicas <= 100 && floor(var.replicas) == var.replicas
    error_message = "replicas must be a whole number from 1 to 100."
  }
}

variable "autoscaling" {
  description = "HorizontalPodAutoscaler by CPU; needs a metrics server. It then owns the number of pods."
  type = object({
    enabled        = optional(bool, false)
    min_replicas   = optional(number, 2)
    max_replicas   = optional(number, 6)
    target_percent = optional(number, 70)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.autoscaling.min_replicas >= 1 && var.autoscaling.max_replicas >= var.autoscaling.min_replicas
    error_message = "autoscaling needs 1 <= min_replicas <= max_replicas."
  }

  validation {
    condition     = var.autoscaling.target_percent >= 10 && var.autoscaling.target_percent <= 100
    error_message = "autoscaling.target_percent must be from 10 to 100."
  }
}

variable "resources" {
  description = "Requests of the web container (other pods ask for less memory) and limits of each. There is no CPU limit unless cpu_limit is given: throttling delays requests even on an idle node."
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
    error_message = "cron_jobs holds a name that its description does not list."
  }

  validation {
    condition     = alltrue([for job in values(var.cron_jobs) : job.schedule == null || can(regex("^(\\S+\\s){4}\\S+$", job.schedule))])
    error_message = "A schedule has five fields, as in \"*/10 * * * *\"."
  }
}

variable "backups" {
  description = "Copies of the database in the bucket, one each night under backups/, and how many are kept (null: all; in AWS the bucket's lifecycle deletes them). Not enabled where the database has snapshots of its own."
  type = object({
    enabled = optional(bool, true)
    keep    = optional(number)
  })
  default  = {}
  nullable = false
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

variable "spread" {
  description = "How firmly pods are spread over nodes and over zones: ScheduleAnyway is a wish, so that on one node all pods still start; DoNotSchedule lets a pod wait rather than stand beside another."
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
  description = "Seconds after which the pods of a node that no longer answers are started elsewhere. Null: the cluster's default, 300."
  type        = number
  default     = null

  validation {
    condition     = var.node_loss_toleration_seconds == null || try(var.node_loss_toleration_seconds >= 10 && var.node_loss_toleration_seconds <= 3600 && floor(var.node_loss_toleration_seconds) == var.node_loss_toleration_seconds, false)
    error_message = "node_loss_toleration_seconds must be a whole number from 10 to 3600, or null."
  }
}

variable "annotations" {
  description = "Annotations of the Deployment, for whatever watches it."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "rollout" {
  description = "How pods are replaced: how many more than usual at once (a number or percent), how many seconds an ending pod goes on serving because load balancers still send to it, and how long an apply waits for all of it."
  type = object({
    max_surge     = optional(string, "1")
    drain_seconds = optional(number, 15)
    minutes       = optional(number, 10)
  })
  default  = {}
  nullable = false

  validation {
    condition     = can(regex("^[1-9][0-9]*%?$", var.rollout.max_surge))
    error_message = "rollout.max_surge must be a number or percentage above 0: no pod is taken away before its successor is ready."
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
  description = "Environment variables of the service that are no secret, by the names in its documentation. Those that this module derives from its other variables are refused."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setintersection(keys(var.settings), ["AUDIT_SIGNING_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "CANARY_TOKEN", "DATABASE_URL", "SECRET_KEY"])) == 0
    error_message = "settings are kept in a ConfigMap; secrets have variables of their own."
  }

  validation {
    condition     = length(setintersection(keys(var.settings), ["AUDIT_PUBLIC_KEYS", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3", "AWS_STORAGE_BUCKET_NAME", "BIND", "CANARY_BASE_URL", "GRACEFUL_TIMEOUT_SECONDS", "METRICS_BIND"])) == 0
    error_message = "settings names a variable that this module sets itself."
  }

  validation {
    condition     = !contains(split(",", lookup(var.settings, "ALLOWED_HOSTS", "")), "*")
    error_message = "settings.ALLOWED_HOSTS must not hold \"*\": any Host header would then be believed."
  }

  # mirrorsite.W001 of the service's own check, before anything is deployed.
  validation {
    condition     = lookup(var.settings, "HTTPS_ONLY", "true") != "true" || lookup(var.settings, "TRUSTED_PROXIES", "0") != "0"
    error_message = "settings.HTTPS_ONLY (true by default) needs settings.TRUSTED_PROXIES of at least 1: the pods speak plain HTTP, so every request would be redirected indefinitely. Without a proxy that ends TLS set HTTPS_ONLY to \"false\"."
  }

  validation {
    condition     = !can(regex("//[^/]*@", lookup(var.settings, "CACHE_URL", "")))
    error_message = "settings.CACHE_URL is kept in a ConfigMap and must not hold a password."
  }
}

variable "bucket" {
  description = "The uploads bucket: its name, its region, and the store's address where it is not AWS."
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

variable "audit_public_keys" {
  description = "AUDIT_PUBLIC_KEYS: the public half of audit_signing_key and earlier ones, as id:base64, separated by commas. Without it nothing could verify the seals."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9a-f]{16}:[A-Za-z0-9+/]{43}=(,[0-9a-f]{16}:[A-Za-z0-9+/]{43}=)*$", var.audit_public_keys))
    error_message = "audit_public_keys must be one or more of id:base64, as sre/audit-public-key prints them."
  }
}

variable "database_ca_bundle" {
  description = "Certificates (PEM) of the authorities that sign the database's certificate, for a DATABASE_URL with sslmode=verify-full. Null: none is mounted, and only what the image itself trusts can be verified."
  type        = string
  default     = null

  validation {
    condition     = var.database_ca_bundle == null || try(startswith(trimspace(var.database_ca_bundle), "-----BEGIN CERTIFICATE-----") && endswith(trimspace(var.database_ca_bundle), "-----END CERTIFICATE-----") && !strcontains(var.database_ca_bundle, "PRIVATE KEY") && length(var.database_ca_bundle) < 1000000, false)
    error_message = "database_ca_bundle must be certificates in PEM and nothing else, below 1 MB: it is kept in a ConfigMap."
  }
}

# Secrets are ephemeral: Terraform writes them neither into the state nor into a saved
# plan, and so cannot see that one has changed. secrets_revision says so.

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

variable "existing_secrets" {
  description = "Names of Secrets that something else keeps (such as the External Secrets Operator) and that this module then does not make. They need the same keys."
  type = object({
    application = optional(string)
    audit       = optional(string)
    registry    = optional(string)
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
  description = "DATABASE_URL of the service, password included."
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
  description = "Static access key of the object store. Null where pods get a role of their own."
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
  description = "AUDIT_SIGNING_KEY: the 32 bytes of an Ed25519 seed in base64. Only the sealer gets it."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = (var.existing_secrets.audit != null) == (var.audit_signing_key == null) && (var.audit_signing_key == null || can(regex("^[A-Za-z0-9+/]{43}=$", var.audit_signing_key)))
    error_message = "audit_signing_key must be 32 bytes in base64 (44 characters), and left out if existing_secrets.audit is given."
  }
}

variable "registry_server" {
  description = "Host of the private registry the image is pulled from. Null: no pull secret is made."
  type        = string
  default     = null

  validation {
    condition     = var.registry_server == null || can(regex("^[A-Za-z0-9.-]+(:[0-9]+)?$", var.registry_server))
    error_message = "registry_server must be a host, with a port if need be, without scheme or path."
  }

  validation {
    condition     = var.registry_server == null || var.existing_secrets.registry == null
    error_message = "Give either registry_server or existing_secrets.registry."
  }
}

variable "registry_username" {
  description = "User of the registry. A deploy token's, never a job token's, which dies with the job while pods go on being rescheduled."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = (var.registry_server == null) == (var.registry_username == null)
    error_message = "registry_username belongs with registry_server."
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
    error_message = "registry_password belongs with registry_server."
  }
}

variable "service_name" {
  description = "Name of the Service in front; probes and the canary use it as their Host."
  type        = string
  default     = "mirrorsite"
  nullable    = false
}

variable "egress" {
  description = "Where the pods may connect to, besides name resolution and, for the canary, the web pods: addresses (CIDR), or pods of the namespace by their labels, and the ports there."
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

variable "metrics_namespace" {
  description = "Namespace from which the metrics port (9464) may be scraped. Null: none."
  type        = string
  default     = null
}
