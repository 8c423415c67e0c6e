variable "name" {
  description = "Name of the Service, and the host name it has inside its namespace."
  type        = string
  default     = "mirrorsite"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,22}[a-z0-9])?$", var.name))
    error_message = "name must be a DNS label of at most 24 characters that starts with a letter."
  }
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
    error_message = "selector must name at least one label: an empty one sends requests to no pod at all."
  }
}

variable "type" {
  description = "LoadBalancer, or ClusterIP behind an ingress or gateway of your own."
  type        = string
  default     = "LoadBalancer"
  nullable    = false

  validation {
    condition     = contains(["LoadBalancer", "ClusterIP"], var.type)
    error_message = "type must be LoadBalancer or ClusterIP."
  }
}

variable "port" {
  description = "Port of the load balancer."
  type        = number
  default     = 80
  nullable    = false

  validation {
    condition     = var.port >= 1 && var.port <= 65535 && floor(var.port) == var.port
    error_message = "port must be a whole number from 1 to 65535."
  }
}

variable "target_port" {
  description = "Port the web service listens on in the pod."
  type        = number
  default     = 4545
  nullable    = false

  validation {
    condition     = var.target_port >= 1024 && var.target_port <= 65535 && floor(var.target_port) == var.target_port
    error_message = "target_port must be a whole number from 1024 to 65535: the pods do not run as root."
  }
}

variable "annotations" {
  description = "Annotations of the Service: how a cloud's load balancer is to be made. Empty on Minikube."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "load_balancer_class" {
  description = "Which controller makes the load balancer. Null: the cluster's default."
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
  description = "Local keeps the client's address, which the audit trail records and the rate limit counts; Cluster hides it behind a node's."
  type        = string
  default     = "Local"
  nullable    = false

  validation {
    condition     = contains(["Local", "Cluster"], var.external_traffic_policy)
    error_message = "external_traffic_policy must be Local or Cluster."
  }
}
