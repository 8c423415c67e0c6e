# Linked into every root here that has a log group.

variable "log_days" {
  description = "Days for which the root's logs are kept."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = contains([30, 60, 90, 180, 365, 400, 731], var.log_days)
    error_message = "log_days must be 30, 60, 90, 180, 365, 400 or 731, values that CloudWatch accepts."
  }
}
