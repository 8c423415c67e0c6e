variable "manager_image" {
  description = "Image of the runner manager (images/manager), with its tag or digest."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[a-f0-9]{64})$", var.manager_image)) && !endswith(var.manager_image, ":latest")
    error_message = "manager_image must end with a tag other than \"latest\" or with a digest."
  }
}

variable "worker_image" {
  description = "Image in which jobs run (images/worker), with its tag or digest."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[a-f0-9]{64})$", var.worker_image)) && !endswith(var.worker_image, ":latest")
    error_message = "worker_image must end with a tag other than \"latest\" or with a digest."
  }
}

variable "gitlab_url" {
  description = "Address of GitLab."
  type        = string
  default     = "https://gitlab.com"
  nullable    = false

  validation {
    condition     = can(regex("^https://[^/\\s]+$", var.gitlab_url))
    error_message = "gitlab_url must be https and a host without a path."
  }
}

variable "worker_size" {
  description = "CPU units (1024 per core) and memory in MiB of a worker; a combination that Fargate offers."
  type = object({
    cpu    = optional(number, 1024)
    memory = optional(number, 2048)
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.worker_size.cpu) && var.worker_size.memory >= 2 * var.worker_size.cpu && var.worker_size.memory <= 8 * var.worker_size.cpu
    error_message = "worker_size needs CPU units that Fargate offers, and two to eight MiB of memory per unit."
  }
}

variable "concurrent_jobs" {
  description = "Maximum number of concurrent jobs, each in a worker."
  type        = number
  default     = 4
  nullable    = false

  validation {
    condition     = var.concurrent_jobs >= 1 && var.concurrent_jobs <= 50 && floor(var.concurrent_jobs) == var.concurrent_jobs
    error_message = "concurrent_jobs must be a whole number from 1 to 50."
  }
}
