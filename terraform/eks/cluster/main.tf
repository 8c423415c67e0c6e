# The cluster, in Auto Mode: AWS manages nodes, network, disks, load balancers, DNS and the
# Pod Identity agent.

locals {
  name = "mirrorsite-${var.environment}"
}

resource "aws_kms_key" "secrets" {
  #checkov:skip=CKV2_AWS_64:With the default policy the account's IAM policies decide.
  description             = "Secrets of the cluster ${local.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

resource "aws_kms_alias" "secrets" {
  name          = "alias/${local.name}-cluster"
  target_key_id = aws_kms_key.secrets.key_id
}

# EKS would create it without retention.
resource "aws_cloudwatch_log_group" "control_plane" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts it with its own key; Secrets are not logged.
  #checkov:skip=CKV_AWS_338:365 days by default; checkov cannot evaluate the variable.
  name              = "/aws/eks/${local.name}/cluster"
  retention_in_days = var.log_days
}

# For clients in the network, such as a pipeline's runner: the cluster's own security group
# admits only its nodes.
resource "aws_security_group" "api" {
  #checkov:skip=CKV2_AWS_5:Attached in vpc_config, where checkov does not look.
  name        = "${local.name}-api"
  description = "The API of the cluster: from inside the network"
  vpc_id      = local.network.vpc_id
  tags        = { Name = "${local.name}-api" }
}

resource "aws_vpc_security_group_ingress_rule" "api" {
  security_group_id = aws_security_group.api.id
  description       = "HTTPS from the network"
  cidr_ipv4         = local.network.cidr
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_eks_cluster" "this" {
  #checkov:skip=CKV_AWS_38:public_access_cidrs refuses 0.0.0.0/0; by default the API is private.
  #checkov:skip=CKV_AWS_39:Private by default; checkov cannot evaluate the expression.
  name     = local.name
  version  = var.kubernetes_version
  role_arn = aws_iam_role.cluster.arn

  enabled_cluster_log_types     = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
  bootstrap_self_managed_addons = false

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = false
  }

  vpc_config {
    subnet_ids              = local.network.private_subnet_ids
    security_group_ids      = [aws_security_group.api.id]
    endpoint_private_access = true
    endpoint_public_access  = length(var.public_access_cidrs) > 0
    public_access_cidrs     = length(var.public_access_cidrs) > 0 ? var.public_access_cidrs : null
  }

  encryption_config {
    resources = ["secrets"]

    provider {
      key_arn = aws_kms_key.secrets.arn
    }
  }

  # Auto Mode consists of the next three blocks.
  compute_config {
    enabled       = true
    node_pools    = ["general-purpose", "system"]
    node_role_arn = aws_iam_role.node.arn
  }

  kubernetes_network_config {
    elastic_load_balancing {
      enabled = true
    }
  }

  storage_config {
    block_storage {
      enabled = true
    }
  }

  upgrade_policy {
    support_type = "STANDARD"
  }

  # AWS may shift traffic away from an impaired zone.
  zonal_shift_config {
    enabled = true
  }

  depends_on = [
    aws_iam_role_policy_attachment.cluster,
    aws_iam_role_policy.cluster_key,
    aws_cloudwatch_log_group.control_plane,
  ]
}

# For the autoscaler; not part of Auto Mode.
resource "aws_eks_addon" "metrics_server" {
  cluster_name = aws_eks_cluster.this.name
  addon_name   = "metrics-server"
}
