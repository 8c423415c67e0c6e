variable "target_namespaces" {
  description = "Namespaces of the service, which this root creates and the pipelines deploy into."
  type        = set(string)
  default     = ["mirrorsite"]
  nullable    = false
}

variable "install_agent" {
  description = "Install GitLab's agent. False: namespaces only, for a cluster without pipelines."
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
  description = "Raise it by one after changing the token."
  type        = number
  default     = 1
  nullable    = false
}

variable "token" {
  description = "Token that GitLab displayed when the agent was registered."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = !var.install_agent || var.token != null
    error_message = "token is required to install the agent."
  }
}
