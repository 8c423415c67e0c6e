# The real provider: a plan that creates everything calls nothing.
provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "unused"
  secret_key                  = "unused"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

variables {
  environment = "production"
  zones       = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
}

run "defaults" {
  command = plan

  assert {
    condition     = toset([for subnet in aws_subnet.private : subnet.availability_zone]) == toset(var.zones) && toset([for subnet in aws_subnet.public : subnet.availability_zone]) == toset(var.zones)
    error_message = "Each zone needs a private and a public subnet."
  }

  assert {
    condition     = toset(keys(aws_nat_gateway.this)) == toset(var.zones) && length(aws_route.nat) == 3
    error_message = "Each zone must use its own NAT gateway."
  }

  assert {
    condition     = length(distinct(concat([for subnet in aws_subnet.private : subnet.cidr_block], [for subnet in aws_subnet.public : subnet.cidr_block]))) == 6
    error_message = "Subnets must not overlap."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.public : !subnet.map_public_ip_on_launch])
    error_message = "Public addresses must not be assigned by default."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.public : subnet.tags["kubernetes.io/role/elb"] == "1"]) && alltrue([for subnet in aws_subnet.private : subnet.tags["kubernetes.io/role/internal-elb"] == "1"])
    error_message = "EKS finds subnets for load balancers by these tags."
  }

  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && aws_vpc_endpoint.s3.service_name == "com.amazonaws.eu-west-1.s3"
    error_message = "Uploads must bypass the NAT gateways."
  }

  assert {
    condition     = aws_cloudwatch_log_group.flows.retention_in_days == 365 && aws_flow_log.this.traffic_type == "ALL"
    error_message = "Flow logs must be kept for a year."
  }
}

run "one_nat_for_staging" {
  command = plan

  variables {
    environment  = "staging"
    nat_per_zone = false
  }

  assert {
    condition     = keys(aws_nat_gateway.this) == ["eu-west-1a"] && length(aws_route.nat) == 3
    error_message = "One gateway must serve all three zones."
  }
}

run "values_out_of_range" {
  command = plan

  variables {
    environment  = "production"
    nat_per_zone = false
    cidr         = "10.0.0.0/24"
    zones        = ["eu-west-1a", "eu-west-1a", "eu-west-1b"]
    log_days     = 2
  }

  expect_failures = [var.nat_per_zone, var.cidr, var.zones, var.log_days]
}
