variable "bucket_name" {
  description = "Name of the bucket, unique in all of AWS."
  type        = string
  nullable    = false
}

variable "break_glass_principal_arns" {
  description = "ARNs of the principals that may delete sealed copies in an emergency."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "default_retention_days" {
  description = "Retention of every object in days. Null: only that of sealed copies, which the service sets."
  type        = number
  default     = null
}
