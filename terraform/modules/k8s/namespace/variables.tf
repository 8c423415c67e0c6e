variable "name" {
  description = "Name of the namespace."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.name)) && !startswith(var.name, "kube-") && var.name != "default"
    error_message = "name must be a DNS label, and neither \"default\" nor one of the cluster's own (kube-*), whose pods need not be restricted."
  }
}

variable "labels" {
  description = "Further labels of the namespace."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = !anytrue([for key in keys(var.labels) : startswith(key, "pod-security.kubernetes.io/")])
    error_message = "labels may not contain the pod-security labels, which are always \"restricted\"."
  }
}
