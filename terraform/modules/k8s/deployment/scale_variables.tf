# Linked into the root for Minikube.

variable "replicas" {
  description = "Number of web pods without autoscaling. With 2 or more, a disruption budget keeps one running through drains."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = var.replicas >= 1 && var.replicas <= 100 && floor(var.replicas) == var.replicas
    error_message = "replicas must be a whole number from 1 to 100."
  }
}

variable "autoscaling" {
  description = "HorizontalPodAutoscaler by CPU; needs a metrics server. When enabled, it owns the number of pods."
  type = object({
    enabled        = optional(bool, false)
    min_replicas   = optional(number, 2)
    max_replicas   = optional(number, 6)
    target_percent = optional(number, 70)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.autoscaling.min_replicas >= 1 && var.autoscaling.max_replicas >= var.autoscaling.min_replicas
    error_message = "autoscaling needs 1 <= min_replicas <= max_replicas."
  }

  validation {
    condition     = var.autoscaling.target_percent >= 10 && var.autoscaling.target_percent <= 100
    error_message = "autoscaling.target_percent must be from 10 to 100."
  }
}
