variable "namespace" {
  description = "Namespace of the Secrets."
  type        = string
  nullable    = false
}

variable "region" {
  description = "AWS region of Secrets Manager."
  type        = string
  nullable    = false
}

variable "secrets" {
  description = "Secrets to create, by name: their sources in Secrets Manager (ARNs, each a JSON object), and templates of their values over the keys of those objects."
  type = map(object({
    from     = map(string)
    template = map(string)
  }))
  nullable = false

  validation {
    condition     = alltrue([for secret in values(var.secrets) : length(secret.from) > 0 && length(secret.template) > 0])
    error_message = "Each of secrets needs at least one source and one value."
  }
}

variable "chart_version" {
  description = "Version of the operator's chart. Only the newest minor version is supported."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", var.chart_version))
    error_message = "chart_version must be a full version, as in \"2.9.0\"."
  }
}

variable "refresh_interval" {
  description = "How often the operator fetches values."
  type        = string
  default     = "1m"
  nullable    = false

  validation {
    condition     = can(regex("^[1-9][0-9]*(s|m|h)$", var.refresh_interval))
    error_message = "refresh_interval must look like \"1m\"."
  }
}

variable "reloader_chart_version" {
  description = "Version of Reloader's chart. Null: no Reloader."
  type        = string
  default     = null

  validation {
    condition     = var.reloader_chart_version == null || can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", var.reloader_chart_version))
    error_message = "reloader_chart_version must be a full version, or null."
  }
}
