# Pods receive roles by EKS Pod Identity, so there are no keys in the cluster.

# The policy of modules/s3, and a denial that no other statement can override.
data "aws_iam_policy_document" "application" {
  source_policy_documents = [local.data.application_policy_json]

  statement {
    sid       = "NeverDeleteTheTrail"
    effect    = "Deny"
    actions   = ["s3:BypassGovernanceRetention", "s3:DeleteObject", "s3:DeleteObjectVersion"]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::${local.data.bucket_name}/audit/*"]
  }
}

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

locals {
  boundary_arn = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:policy/mirrorsite-${var.environment}-pods-boundary"
}

data "aws_iam_policy_document" "external_secrets" {
  statement {
    sid     = "ReadTheServicesSecrets"
    actions = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
    resources = [
      local.data.application_secret_arn,
      local.data.audit_secret_arn,
      local.data.database.secret_arn,
    ]
  }

  statement {
    sid       = "DecryptThem"
    actions   = ["kms:Decrypt"]
    resources = [local.data.secrets_key_arn]
  }
}

locals {
  roles = {
    application = {
      namespace       = var.namespace
      service_account = local.name
      policy          = data.aws_iam_policy_document.application.json
    }
    external-secrets = {
      namespace       = "external-secrets"
      service_account = "external-secrets"
      policy          = data.aws_iam_policy_document.external_secrets.json
    }
  }
}

resource "aws_iam_role" "this" {
  for_each = local.roles

  name = "mirrorsite-${var.environment}-${each.key}"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["sts:AssumeRole", "sts:TagSession"], Principal = { Service = "pods.eks.amazonaws.com" } }]
  })
  # Limits the policies above; created by the root pipeline.
  permissions_boundary = var.pods_boundary ? local.boundary_arn : null
}

resource "aws_iam_role_policy" "this" {
  for_each = local.roles

  name   = each.key
  role   = aws_iam_role.this[each.key].id
  policy = each.value.policy
}

resource "aws_eks_pod_identity_association" "this" {
  for_each = local.roles

  cluster_name    = local.cluster.name
  namespace       = each.value.namespace
  service_account = each.value.service_account
  role_arn        = aws_iam_role.this[each.key].arn

  depends_on = [aws_iam_role_policy.this]
}
