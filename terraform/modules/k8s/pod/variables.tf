variable "user_id" {
  description = "User and group id of the processes and files."
  type        = number
  nullable    = false

  validation {
    condition     = var.user_id > 0
    error_message = "user_id must not be 0."
  }
}

variable "container" {
  description = "The container, as in the API, without securityContext and volumeMounts."
  type        = any
  nullable    = false

  validation {
    condition     = can(var.container.resources.requests.memory) && can(var.container.resources.requests.cpu) && can(var.container.resources.limits.memory)
    error_message = "container needs requests for cpu and memory and a memory limit."
  }
}

variable "volumes" {
  description = "Volumes by name: mount (a path), source (as in the API; none with a volumeClaimTemplate) and read_only."
  type        = any
  default     = {}
  nullable    = false
}

variable "tmp_size" {
  description = "Size limit of /tmp."
  type        = string
  default     = "64Mi"
  nullable    = false
}

variable "spec" {
  description = "Further fields of the pod's specification, as in the API."
  type        = any
  default     = {}
  nullable    = false
}
