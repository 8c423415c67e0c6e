variable "kas_address" {
  description = "Address of GitLab's agent server."
  type        = string
  default     = "wss://kas.gitlab.com"
  nullable    = false

  validation {
    condition     = can(regex("^(wss|grpcs)://[^\\s]+$", var.kas_address))
    error_message = "kas_address must begin with wss:// or grpcs://: the token is sent to it."
  }
}

variable "token_revision" {
  description = "Raise it by one after changing the token, which is ephemeral, so that Terraform cannot detect the change."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.token_revision >= 1 && floor(var.token_revision) == var.token_revision
    error_message = "token_revision must be a whole number of at least 1."
  }
}

variable "target_namespaces" {
  description = "Existing namespaces that the pipelines deploy into. The agent has no rights elsewhere."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.target_namespaces) > 0 && !anytrue([for name in var.target_namespaces : name == "default" || startswith(name, "kube-")])
    error_message = "target_namespaces must name at least one namespace, and none of the cluster's own (default, kube-*)."
  }
}

variable "token" {
  description = "Token that GitLab displayed when the agent was registered. Stored in a Secret of the cluster, not in the state."
  type        = string
  sensitive   = true
  ephemeral   = true
  nullable    = false

  validation {
    condition     = length(var.token) >= 20
    error_message = "token must be the agent's access token, at least 20 characters."
  }
}
