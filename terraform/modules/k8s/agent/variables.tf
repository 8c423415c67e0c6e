variable "name" {
  description = "Name of the Helm release and of the agent's namespace."
  type        = string
  default     = "gitlab-agent"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$", var.name))
    error_message = "name must be a DNS label of at most 40 characters that starts with a letter."
  }
}

variable "target_namespaces" {
  description = "Namespaces the pipelines deploy into. They must exist; the agent may do nothing outside of them."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.target_namespaces) > 0 && !anytrue([for name in var.target_namespaces : name == "default" || startswith(name, "kube-")])
    error_message = "target_namespaces must name at least one namespace, and none of the cluster's own (default, kube-*)."
  }
}

variable "kas_address" {
  description = "Address of GitLab's agent server."
  type        = string
  default     = "wss://kas.gitlab.com"
  nullable    = false

  validation {
    condition     = can(regex("^(wss|grpcs)://[^\\s]+$", var.kas_address))
    error_message = "kas_address must begin with wss:// or grpcs://: the token travels over it."
  }
}

variable "chart_version" {
  description = "Version of the chart gitlab-agent from charts.gitlab.io; its agent should not be newer than the GitLab it talks to."
  type        = string
  default     = "2.26.0"
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", var.chart_version))
    error_message = "chart_version must be one exact version, as in \"2.26.0\"."
  }
}

variable "replicas" {
  description = "Number of agent pods; one of them works at a time."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.replicas >= 1 && var.replicas <= 5 && floor(var.replicas) == var.replicas
    error_message = "replicas must be a whole number from 1 to 5."
  }
}

variable "token_revision" {
  description = "Raise it by one when the token changed: it is ephemeral, and Terraform cannot see that by itself."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.token_revision >= 1 && floor(var.token_revision) == var.token_revision
    error_message = "token_revision must be a whole number of at least 1."
  }
}

variable "token" {
  description = "Token that GitLab showed when the agent was registered. Written into a Secret of the cluster, never into the state."
  type        = string
  sensitive   = true
  ephemeral   = true
  nullable    = false

  validation {
    condition     = length(var.token) >= 20
    error_message = "token must be the agent's access token, at least 20 characters."
  }
}
