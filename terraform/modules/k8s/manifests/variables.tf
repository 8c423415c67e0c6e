variable "name" {
  description = "Name of the Helm release."
  type        = string
  nullable    = false
}

variable "namespace" {
  description = "Namespace of the release and of its objects; it must exist."
  type        = string
  nullable    = false
}

variable "manifests" {
  description = "The objects, as in the Kubernetes API. No secrets: the objects are part of the state and of the release."
  type        = any
  nullable    = false
}

variable "timeout_seconds" {
  description = "How long to wait until pods are ready and Jobs complete."
  type        = number
  default     = 600
  nullable    = false
}
