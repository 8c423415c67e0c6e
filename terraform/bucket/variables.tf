variable "bucket_name" {
  description = "Name of the bucket. Names are global to all of AWS, so put something of your own into it."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region of the bucket."
  type        = string
  default     = "eu-west-1"
  nullable    = false
}

variable "break_glass_principal_arns" {
  description = "ARNs of the principals that may delete sealed copies in an emergency."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "default_retention_days" {
  description = "Retention of every object in days. Null: only what the service sets on sealed copies."
  type        = number
  default     = null
}
