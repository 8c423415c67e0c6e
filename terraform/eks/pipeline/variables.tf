variable "gitlab_url" {
  description = "Address of the GitLab whose tokens are trusted."
  type        = string
  default     = "https://gitlab.com"
  nullable    = false

  validation {
    condition     = can(regex("^https://[^/\\s]+$", var.gitlab_url))
    error_message = "gitlab_url must be https and a host without a path."
  }
}

variable "project_path" {
  description = "Path of the project in GitLab, as in \"group/mirrorsite\"."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+$", var.project_path))
    error_message = "project_path must be GROUP/PROJECT without a star: a pattern would trust other projects."
  }
}

variable "branch" {
  description = "The project's default branch; only its jobs may assume these roles."
  type        = string
  default     = "main"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_./-]+$", var.branch))
    error_message = "branch must be the name of one branch, without a star."
  }
}

variable "bucket_name" {
  description = "Name of the uploads bucket, as in the root data; the pods can reach no other."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name must be the name of one bucket, without a star."
  }
}

variable "state_bucket_name" {
  description = "Bucket of Terraform's state, from ../../bootstrap. Null: the state is in GitLab."
  type        = string
  default     = null
}

variable "identity_provider" {
  description = "Create the account's identity provider for GitLab. False where it exists: an account has one per address."
  type        = bool
  default     = true
  nullable    = false
}
