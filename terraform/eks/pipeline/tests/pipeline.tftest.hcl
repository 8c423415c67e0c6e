provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "unused"
  secret_key                  = "unused"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

override_data {
  target = data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

variables {
  environment       = "production"
  project_path      = "group/mirrorsite"
  bucket_name       = "mirrorsite-test-uploads"
  state_bucket_name = "mirrorsite-test-state"
}

run "the_bucket" {
  command = plan

  module {
    source = "../../modules/s3"
  }
}

run "roles_and_boundary" {
  command = plan

  assert {
    condition = one(jsondecode(data.aws_iam_policy_document.trust.json).Statement).Condition.StringEquals == {
      "gitlab.com:aud" = "https://gitlab.com"
      "gitlab.com:sub" = "project_path:group/mirrorsite:ref_type:branch:ref:main"
    }
    error_message = "Tokens of other projects and branches must be refused."
  }

  assert {
    condition     = one(jsondecode(data.aws_iam_policy_document.trust.json).Statement).Principal == { Federated = "arn:aws:iam::123456789012:oidc-provider/gitlab.com" }
    error_message = "Only GitLab's tokens may be trusted."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(data.aws_iam_policy_document.plan.json).Statement :
      alltrue([for action in flatten([statement.Action]) : can(regex("^[a-z0-9]+:(Get|List|Describe)[A-Za-z]+$", action))]) if statement.Sid != "LockTheState"
    ])
    error_message = "The plan's role may only read."
  }

  assert {
    condition     = [for statement in jsondecode(data.aws_iam_policy_document.plan.json).Statement : statement.Resource if statement.Sid == "LockTheState"] == ["arn:aws:s3:::mirrorsite-test-state/eks/production/app.tfstate.tflock"]
    error_message = "The plan's role may write only the lock of its state."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(data.aws_iam_policy_document.apply.json).Statement : !contains(flatten([statement.Resource]), "*")])
    error_message = "No statement may have the resource *."
  }

  assert {
    condition     = toset(flatten([for statement in jsondecode(data.aws_iam_policy_document.apply.json).Statement : statement.Resource if startswith(flatten([statement.Action])[0], "iam:")])) == toset(["arn:aws:iam::123456789012:role/mirrorsite-production-application", "arn:aws:iam::123456789012:role/mirrorsite-production-external-secrets"])
    error_message = "The apply role may change the pods' roles only."
  }

  assert {
    condition     = toset([for statement in jsondecode(data.aws_iam_policy_document.apply.json).Statement : statement.Resource if statement.Sid == "WriteTheState"]) == toset(["arn:aws:s3:::mirrorsite-test-state/eks/production/app.tfstate"])
    error_message = "The apply role may write its own state only."
  }

  assert {
    condition     = [for statement in jsondecode(data.aws_iam_policy_document.plan.json).Statement : keys(statement.Condition) if statement.Sid == "FindTheState"] == [["StringLikeIfExists"]]
    error_message = "Both roles must be told that a state does not exist yet."
  }

  assert {
    condition = toset(flatten([
      for statement in jsondecode(data.aws_iam_policy_document.apply.json).Statement : [
        for action in flatten([statement.Action]) : action
        if can(regex("^iam:(Create|Put|Attach|Add|Set|.*Boundary)", action))
        && try(statement.Condition.StringEquals["iam:PermissionsBoundary"], null) != "arn:aws:iam::123456789012:policy/mirrorsite-production-pods-boundary"
      ]
    ])) == toset([])
    error_message = "Rights may be granted within the boundary only, and it must not be removable."
  }

  assert {
    condition     = !anytrue([for statement in jsondecode(data.aws_iam_policy_document.apply.json).Statement : anytrue([for resource in flatten([statement.Resource]) : strcontains(resource, ":policy/")])])
    error_message = "The apply role must not change the boundary."
  }

  assert {
    condition     = aws_iam_policy.boundary.name == "mirrorsite-production-pods-boundary"
    error_message = "The boundary must have the name that the statements require."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(data.aws_iam_policy_document.boundary.json).Statement : alltrue([
        for action in flatten([statement.Action]) : can(regex("^(s3|secretsmanager|kms):[A-Za-z]+$", action))
      ])
    ])
    error_message = "The boundary must not contain IAM actions or wildcards."
  }

  assert {
    condition = toset(flatten([
      for statement in jsondecode(data.aws_iam_policy_document.boundary.json).Statement : statement.Resource if startswith(flatten([statement.Action])[0], "s3:")
    ])) == toset(["arn:aws:s3:::mirrorsite-test-uploads", "arn:aws:s3:::mirrorsite-test-uploads/uploads/*", "arn:aws:s3:::mirrorsite-test-uploads/audit/*", "arn:aws:s3:::mirrorsite-test-uploads/backups/*"])
    error_message = "The boundary must contain one bucket."
  }

  assert {
    condition = !anytrue([
      for statement in jsondecode(data.aws_iam_policy_document.boundary.json).Statement :
      anytrue([for action in flatten([statement.Action]) : strcontains(action, "Delete")]) && anytrue([for resource in flatten([statement.Resource]) : strcontains(resource, "audit")])
    ])
    error_message = "The boundary must not allow deleting under audit/."
  }

  assert {
    condition = alltrue(flatten([
      for wanted in jsondecode(run.the_bucket.application_policy_json).Statement : [
        for pair in setproduct(flatten([wanted.Action]), flatten([wanted.Resource])) : anytrue([
          for statement in jsondecode(data.aws_iam_policy_document.boundary.json).Statement :
          contains(flatten([statement.Action]), pair[0]) && contains(flatten([statement.Resource]), pair[1])
        ])
      ]
    ]))
    error_message = "Each right of modules/s3's application policy must be within the boundary."
  }
}

run "state_in_gitlab" {
  command = plan

  variables {
    state_bucket_name = null
    identity_provider = false
  }

  assert {
    condition     = length([for statement in jsondecode(data.aws_iam_policy_document.apply.json).Statement : statement if startswith(flatten([statement.Action])[0], "s3:")]) == 0 && length(aws_iam_openid_connect_provider.gitlab) == 0
    error_message = "Without a state bucket there must be no rights to one."
  }
}

run "values_out_of_range" {
  command = plan

  variables {
    environment  = "test"
    project_path = "group/*"
    branch       = "*"
    bucket_name  = "*"
    gitlab_url   = "http://gitlab.example.org"
  }

  expect_failures = [var.environment, var.project_path, var.branch, var.bucket_name, var.gitlab_url]
}
