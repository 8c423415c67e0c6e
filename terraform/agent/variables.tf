variable "target_namespaces" {
  description = "Namespaces of the service, into which the pipelines deploy; they are made here."
  type        = set(string)
  default     = ["mirrorsite"]
  nullable    = false
}

variable "install_agent" {
  description = "Install GitLab's agent. False: namespaces only, for a cluster that no pipeline reaches."
  type        = bool
  default     = true
  nullable    = false
}

variable "kas_address" {
  description = "Address of GitLab's agent server."
  type        = string
  default     = "wss://kas.gitlab.com"
  nullable    = false
}

variable "token_revision" {
  description = "Raise it by one when the token changed."
  type        = number
  default     = 1
  nullable    = false
}

variable "token" {
  description = "Token that GitLab showed when the agent was registered; give it as TF_VAR_token."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = !var.install_agent || var.token != null
    error_message = "token is needed to install the agent."
  }
}
