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
  description = "The objects, each as in the Kubernetes API. Not for secrets: they are part of the state and of the release."
  type        = any
  nullable    = false
}

variable "timeout_seconds" {
  description = "Longest wait until pods are ready and Jobs are complete."
  type        = number
  default     = 600
  nullable    = false
}
