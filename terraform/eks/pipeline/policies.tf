locals {
  account_arn = "${var.region}:${data.aws_caller_identity.current.account_id}"
  partition   = data.aws_partition.current.partition

  cluster_arn      = "arn:${local.partition}:eks:${local.account_arn}:cluster/${local.name}"
  associations_arn = "arn:${local.partition}:eks:${local.account_arn}:podidentityassociation/${local.name}/*"
  parameters_arn   = "arn:${local.partition}:ssm:${local.account_arn}:parameter/mirrorsite/${var.environment}/*"
  # The roles that the root app creates.
  pod_role_arns = [for role in ["application", "external-secrets"] : "${local.iam_arn}:role/${local.name}-${role}"]

  state_bucket_arn = var.state_bucket_name == null ? null : "arn:${local.partition}:s3:::${var.state_bucket_name}"
  state_key        = "eks/${var.environment}/app.tfstate"

  policies = {
    plan  = data.aws_iam_policy_document.plan.json
    apply = data.aws_iam_policy_document.apply.json
  }
}

# Reads what a plan needs, and writes only the lock of the state.
data "aws_iam_policy_document" "plan" {
  source_policy_documents = data.aws_iam_policy_document.state[*].json

  statement {
    sid       = "ReadOtherRootsParameters"
    actions   = ["ssm:GetParameter"]
    resources = [local.parameters_arn]
  }

  statement {
    sid       = "ReachTheCluster"
    actions   = ["eks:DescribeCluster", "eks:ListPodIdentityAssociations"]
    resources = [local.cluster_arn]
  }

  statement {
    sid       = "ReadAssociations"
    actions   = ["eks:DescribePodIdentityAssociation", "eks:ListTagsForResource"]
    resources = [local.associations_arn]
  }

  statement {
    sid       = "ReadThePodsRoles"
    actions   = ["iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies", "iam:ListRoleTags"]
    resources = local.pod_role_arns
  }
}

data "aws_iam_policy_document" "state" {
  count = var.state_bucket_name == null ? 0 : 1

  statement {
    sid       = "FindTheState"
    actions   = ["s3:ListBucket"]
    resources = [local.state_bucket_arn]

    # Before the first apply there is no state, and S3 answers 404 only to those who may list;
    # a request for an object has no prefix. So the roles may also list all keys, not read them.
    condition {
      test     = "StringLikeIfExists"
      variable = "s3:prefix"
      values   = ["${local.state_key}*", "env:/*"]
    }
  }

  statement {
    sid       = "ReadTheState"
    actions   = ["s3:GetObject"]
    resources = ["${local.state_bucket_arn}/${local.state_key}"]
  }

  statement {
    sid       = "LockTheState"
    actions   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    resources = ["${local.state_bucket_arn}/${local.state_key}.tflock"]
  }
}

data "aws_iam_policy_document" "apply" {
  source_policy_documents = [data.aws_iam_policy_document.plan.json]

  statement {
    sid       = "AssociatePodsWithTheirRoles"
    actions   = ["eks:CreatePodIdentityAssociation"]
    resources = [local.cluster_arn]
  }

  statement {
    sid       = "ChangeAssociations"
    actions   = ["eks:DeletePodIdentityAssociation", "eks:TagResource", "eks:UntagResource", "eks:UpdatePodIdentityAssociation"]
    resources = [local.associations_arn]
  }

  statement {
    sid = "ChangeThePodsRoles"
    actions = [
      "iam:DeleteRole",
      "iam:DeleteRolePolicy",
      "iam:ListInstanceProfilesForRole",
      "iam:TagRole",
      "iam:UntagRole",
      "iam:UpdateAssumeRolePolicy",
      "iam:UpdateRole",
    ]
    resources = local.pod_role_arns
  }

  # Policies only for roles with the boundary, which no statement here allows to remove or
  # change.
  statement {
    sid       = "WithinTheBoundary"
    actions   = ["iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"]
    resources = local.pod_role_arns

    condition {
      test     = "StringEquals"
      variable = "iam:PermissionsBoundary"
      values   = [local.boundary_arn]
    }
  }

  statement {
    sid       = "GivePodsTheirRoles"
    actions   = ["iam:PassRole"]
    resources = local.pod_role_arns

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["pods.eks.amazonaws.com"]
    }
  }

  dynamic "statement" {
    for_each = local.state_bucket_arn[*]

    content {
      sid       = "WriteTheState"
      actions   = ["s3:PutObject"]
      resources = ["${statement.value}/${local.state_key}"]
    }
  }
}
