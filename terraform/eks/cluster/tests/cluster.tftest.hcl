provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "unused"
  secret_key                  = "unused"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

override_data {
  target = data.aws_ssm_parameter.network
  values = {
    insecure_value = "{\"vpc_id\":\"vpc-1\",\"cidr\":\"10.40.0.0/16\",\"zones\":[\"eu-west-1a\",\"eu-west-1b\",\"eu-west-1c\"],\"private_subnet_ids\":[\"subnet-a\",\"subnet-b\",\"subnet-c\"],\"public_subnet_ids\":[\"subnet-d\",\"subnet-e\",\"subnet-f\"]}"
  }
}

variables {
  environment    = "production"
  plan_role_arn  = "arn:aws:iam::123456789012:role/mirrorsite-plan"
  apply_role_arn = "arn:aws:iam::123456789012:role/mirrorsite-apply"
}

run "defaults" {
  command = plan

  assert {
    condition     = one(aws_eks_cluster.this.vpc_config).subnet_ids == toset(["subnet-a", "subnet-b", "subnet-c"])
    error_message = "Nodes must be in private subnets of all three zones."
  }

  assert {
    condition     = one(aws_eks_cluster.this.compute_config).enabled && one(one(aws_eks_cluster.this.kubernetes_network_config).elastic_load_balancing).enabled && one(one(aws_eks_cluster.this.storage_config).block_storage).enabled
    error_message = "Auto Mode, which replaces lost nodes, consists of these three."
  }

  assert {
    condition     = one(aws_eks_cluster.this.zonal_shift_config).enabled
    error_message = "AWS must be allowed to shift traffic away from an impaired zone."
  }

  assert {
    condition     = aws_eks_addon.metrics_server.addon_name == "metrics-server"
    error_message = "The autoscaler needs the metrics server."
  }

  assert {
    condition     = one(aws_eks_cluster.this.vpc_config).endpoint_private_access && !one(aws_eks_cluster.this.vpc_config).endpoint_public_access
    error_message = "The API must be private by default."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.api.cidr_ipv4 == "10.40.0.0/16" && aws_vpc_security_group_ingress_rule.api.from_port == 443
    error_message = "Only clients in the network may connect to the API."
  }

  assert {
    condition     = length(aws_eks_cluster.this.enabled_cluster_log_types) == 5 && aws_cloudwatch_log_group.control_plane.retention_in_days == 365
    error_message = "All five logs of the control plane must be kept for a year."
  }

  assert {
    condition     = one(aws_eks_cluster.this.encryption_config).resources == toset(["secrets"]) && aws_kms_key.secrets.enable_key_rotation
    error_message = "Secrets must be encrypted with a key that rotates."
  }

  assert {
    condition     = one(aws_eks_cluster.this.access_config).authentication_mode == "API" && !one(aws_eks_cluster.this.access_config).bootstrap_cluster_creator_admin_permissions
    error_message = "Access must be granted by access entries only."
  }

  assert {
    condition = { for key, association in aws_eks_access_policy_association.this : association.principal_arn => association.policy_arn } == {
      "arn:aws:iam::123456789012:role/mirrorsite-plan"  = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSAdminViewPolicy"
      "arn:aws:iam::123456789012:role/mirrorsite-apply" = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
    }
    error_message = "The plan role may view, the apply role may change, and no other role has access."
  }
}

run "values_out_of_range" {
  command = plan

  variables {
    public_access_cidrs = ["0.0.0.0/0"]
    plan_role_arn       = "arn:aws:iam::123456789012:role/mirrorsite-apply"
    kubernetes_version  = "latest"
    log_days            = 1
  }

  expect_failures = [var.public_access_cidrs, var.plan_role_arn, var.kubernetes_version, var.log_days]
}
