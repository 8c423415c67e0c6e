variable "cidr" {
  description = "Addresses of the VPC, a /16. Each zone has a /20 for pods and nodes and a /24 for load balancers."
  type        = string
  default     = "10.40.0.0/16"
  nullable    = false

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && endswith(var.cidr, "/16")
    error_message = "cidr must be an IPv4 block of size /16, as in \"10.40.0.0/16\"."
  }
}

variable "zones" {
  description = "Three availability zones of the region, such as [\"eu-west-1a\", \"eu-west-1b\", \"eu-west-1c\"]. Not looked up, because zones that AWS adds or removes must not move subnets."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.zones) == 3 && length(distinct(var.zones)) == 3 && alltrue([for zone in var.zones : can(regex("^${var.region}[a-z]$", zone))])
    error_message = "zones must be three different zones of the region."
  }
}

variable "nat_per_zone" {
  description = "A NAT gateway in each zone. False: a single one, at a third of the cost; when its zone fails, no zone has outbound connections."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = var.nat_per_zone || var.environment != "production"
    error_message = "production needs a NAT gateway per zone: with one, the loss of its zone disconnects the others."
  }
}
