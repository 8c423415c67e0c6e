variable "target_namespaces" {
  description = "Namespaces the pipelines deploy into; they must exist."
  type        = set(string)
  default     = ["mirrorsite"]
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
  sensitive   = true
  ephemeral   = true
}
