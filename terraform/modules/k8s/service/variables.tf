variable "name" {
  description = "Name of the Service, and its host name in the namespace."
  type        = string
  nullable    = false
}

variable "namespace" {
  description = "Namespace of the Service."
  type        = string
  nullable    = false
}

variable "selector" {
  description = "Labels of the pods behind the Service."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(var.selector) > 0
    error_message = "selector must name at least one label: an empty one selects no pod."
  }
}

variable "type" {
  description = "LoadBalancer, or ClusterIP behind an ingress or gateway."
  type        = string
  default     = "LoadBalancer"
  nullable    = false

  validation {
    condition     = contains(["LoadBalancer", "ClusterIP"], var.type)
    error_message = "type must be LoadBalancer or ClusterIP."
  }
}

variable "annotations" {
  description = "Annotations of the Service, read by a cloud's load balancer controller."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "load_balancer_class" {
  description = "Controller of the load balancer. Null: the cluster's default."
  type        = string
  default     = null
}

variable "source_ranges" {
  description = "Addresses (CIDR) that may reach the load balancer. Empty: all."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.source_ranges : can(cidrhost(cidr, 0))])
    error_message = "source_ranges must be CIDR blocks, as in \"203.0.113.0/24\"."
  }
}

variable "external_traffic_policy" {
  description = "Local preserves the client's address, which the audit trail and the rate limit need; Cluster replaces it with a node's."
  type        = string
  default     = "Local"
  nullable    = false

  validation {
    condition     = contains(["Local", "Cluster"], var.external_traffic_policy)
    error_message = "external_traffic_policy must be Local or Cluster."
  }
}
