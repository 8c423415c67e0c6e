# The two roles with which the pipeline plans and applies the root `app`. The other roots are
# applied by hand.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  name        = "mirrorsite-${var.environment}"
  gitlab_host = trimprefix(var.gitlab_url, "https://")
  iam_arn     = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}"

  # Derived from names, so that the plan that creates the provider shows the trust.
  identity_provider_arn = "${local.iam_arn}:oidc-provider/${local.gitlab_host}"
}

resource "aws_iam_openid_connect_provider" "gitlab" {
  count = var.identity_provider ? 1 : 0

  url            = var.gitlab_url
  client_id_list = [var.gitlab_url]
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [local.identity_provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.gitlab_host}:aud"
      values   = [var.gitlab_url]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.gitlab_host}:sub"
      values   = ["project_path:${var.project_path}:ref_type:branch:ref:${var.branch}"]
    }
  }
}

resource "aws_iam_role" "this" {
  for_each = local.policies

  name               = "${local.name}-pipeline-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.trust.json
  # An apply includes a migration and a rollout.
  max_session_duration = 3600

  depends_on = [aws_iam_openid_connect_provider.gitlab]
}

resource "aws_iam_role_policy" "this" {
  for_each = local.policies

  name   = each.key
  role   = aws_iam_role.this[each.key].id
  policy = each.value
}
