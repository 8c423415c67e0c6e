variable "kubernetes_version" {
  description = "Version of Kubernetes, in standard support of EKS."
  type        = string
  default     = "1.35"
  nullable    = false

  validation {
    condition     = can(regex("^1\\.[0-9]{2}$", var.kubernetes_version))
    error_message = "kubernetes_version must be a minor version, as in \"1.35\"."
  }
}

variable "public_access_cidrs" {
  description = "Addresses (CIDR) that may reach the cluster's API. Empty: only the network, which must then contain the pipeline's runner."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.public_access_cidrs : can(cidrhost(cidr, 0)) && !endswith(cidr, "/0")])
    error_message = "public_access_cidrs must be CIDR blocks smaller than /0."
  }
}

variable "plan_role_arn" {
  description = "Role of the pipeline's plan jobs, which may view the cluster. Null: none."
  type        = string
  default     = null

  validation {
    condition     = var.plan_role_arn == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/.+$", var.plan_role_arn))
    error_message = "plan_role_arn must be the full ARN of a role."
  }

  validation {
    condition     = var.plan_role_arn == null || var.plan_role_arn != var.apply_role_arn
    error_message = "plan_role_arn and apply_role_arn must differ: a plan job must not be able to apply."
  }
}

variable "apply_role_arn" {
  description = "Role of the pipeline's apply jobs, which administers the cluster. Null: none."
  type        = string
  default     = null

  validation {
    condition     = var.apply_role_arn == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/.+$", var.apply_role_arn))
    error_message = "apply_role_arn must be the full ARN of a role."
  }
}
