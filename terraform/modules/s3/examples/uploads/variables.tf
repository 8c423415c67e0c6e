variable "bucket_name" {
  description = "Name of the bucket."
  type        = string
}

variable "region" {
  description = "Region of the bucket."
  type        = string
  default     = "eu-west-1"
}

variable "break_glass_principal_arns" {
  description = "Who may delete audit copies in an emergency."
  type        = list(string)
  default     = []
}

variable "default_retention_days" {
  description = "Default retention of every object, or null for none."
  type        = number
  default     = null
}
