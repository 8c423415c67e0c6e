mock_provider "kubernetes" {}

mock_provider "helm" {}

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
    insecure_value = "{\"vpc_id\":\"vpc-1\",\"cidr\":\"10.40.0.0/16\",\"zones\":[\"eu-west-1a\",\"eu-west-1b\",\"eu-west-1c\"],\"private_subnet_ids\":[\"subnet-a\"],\"public_subnet_ids\":[\"subnet-d\"]}"
  }
}

override_data {
  target = data.aws_ssm_parameter.cluster
  values = {
    insecure_value = "{\"name\":\"mirrorsite-production\",\"security_group_id\":\"sg-cluster\"}"
  }
}

override_data {
  target = data.aws_ssm_parameter.data
  values = {
    insecure_value = "{\"bucket_name\":\"mirrorsite-test-uploads\",\"application_policy_json\":\"{\\\"Version\\\":\\\"2012-10-17\\\",\\\"Statement\\\":[{\\\"Sid\\\":\\\"WriteReadAndPurgeUploads\\\",\\\"Effect\\\":\\\"Allow\\\",\\\"Action\\\":[\\\"s3:DeleteObject\\\",\\\"s3:PutObject\\\"],\\\"Resource\\\":\\\"arn:aws:s3:::mirrorsite-test-uploads/uploads/*\\\"}]}\",\"database\":{\"host\":\"db.example.org\",\"port\":5432,\"name\":\"mirrorsite\",\"secret_arn\":\"arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds-db\"},\"application_secret_arn\":\"arn:aws:secretsmanager:eu-west-1:123456789012:secret:application\",\"audit_secret_arn\":\"arn:aws:secretsmanager:eu-west-1:123456789012:secret:audit\",\"secrets_key_arn\":\"arn:aws:kms:eu-west-1:123456789012:key/1\",\"registry_url\":null}"
  }
}

override_data {
  target = data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

variables {
  environment = "production"
  image       = "registry.example.org/group/mirrorsite:1f2e3d4c"
  host        = "mirrorsite.example.org"

  audit_public_keys = "0123456789abcdef:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
  load_balancer     = { certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/1" }

  database_ca_bundle = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
}

run "defaults" {
  command = plan

  assert {
    condition = { for statement in jsondecode(data.aws_iam_policy_document.application.json).Statement : statement.Sid => [statement.Effect, flatten([statement.Resource])] } == {
      WriteReadAndPurgeUploads = ["Allow", ["arn:aws:s3:::mirrorsite-test-uploads/uploads/*"]]
      NeverDeleteTheTrail      = ["Deny", ["arn:aws:s3:::mirrorsite-test-uploads/audit/*"]]
    }
    error_message = "The pods' policy must be that of modules/s3 and a denial of deleting under audit/."
  }

  assert {
    condition     = alltrue([for action in ["s3:BypassGovernanceRetention", "s3:DeleteObject", "s3:DeleteObjectVersion"] : anytrue([for statement in jsondecode(data.aws_iam_policy_document.application.json).Statement : statement.Effect == "Deny" && contains(flatten([statement.Action]), action)])])
    error_message = "All three ways to delete must be denied."
  }

  assert {
    condition     = toset(flatten([for statement in jsondecode(data.aws_iam_policy_document.external_secrets.json).Statement : flatten([statement.Action])])) == toset(["kms:Decrypt", "secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"])
    error_message = "The operator may only read secrets."
  }

  assert {
    condition     = length([for statement in jsondecode(data.aws_iam_policy_document.external_secrets.json).Statement : statement if contains(flatten([statement.Resource]), "*")]) == 0
    error_message = "The operator may read these secrets only."
  }

  assert {
    condition = { for key, association in aws_eks_pod_identity_association.this : key => "${association.namespace}/${association.service_account}" } == {
      application      = "mirrorsite/mirrorsite"
      external-secrets = "external-secrets/external-secrets"
    }
    error_message = "Each role must have one service account."
  }

  assert {
    condition     = toset([for role in aws_iam_role.this : role.permissions_boundary]) == toset(["arn:aws:iam::123456789012:policy/mirrorsite-production-pods-boundary"])
    error_message = "The pods' roles must have the boundary: the pipeline may create no others."
  }

  assert {
    condition     = local.database_sslmode == "verify-full"
    error_message = "Name and certificate of the database must be verified."
  }

  assert {
    condition     = module.deployment.manifests["HorizontalPodAutoscaler/mirrorsite"].spec.minReplicas == 3 && !can(module.deployment.manifests["Deployment/mirrorsite"].spec.replicas)
    error_message = "The autoscaler must keep one pod per zone, and the plan not set their number."
  }

  assert {
    condition     = module.ingress.manifests["IngressClassParams/mirrorsite"].spec == { scheme = "internal", certificateARNs = ["arn:aws:acm:eu-west-1:123456789012:certificate/1"] } && module.ingress.manifests["IngressClass/mirrorsite"].spec.controller == "eks.amazonaws.com/alb"
    error_message = "An application load balancer must terminate TLS."
  }

  assert {
    condition     = module.ingress.manifests["Ingress/mirrorsite"].metadata.annotations["alb.ingress.kubernetes.io/ssl-redirect"] == "443" && module.ingress.manifests["Ingress/mirrorsite"].spec.rules[0].host == var.host
    error_message = "HTTP must be redirected, and only the service's host name be routed."
  }

  assert {
    condition     = kubernetes_config_map_v1.network_policies.metadata[0].namespace == "kube-system" && kubernetes_config_map_v1.network_policies.metadata[0].name == "amazon-vpc-cni" && kubernetes_config_map_v1.network_policies.data == tomap({ "enable-network-policy-controller" = "true" })
    error_message = "Auto Mode enforces network policies only with this setting."
  }
}

run "with_a_cache" {
  command = plan

  variables {
    settings = { CACHE_URL = "redis://cache.example.org:6379/0" }
    egress   = [{ ports = [6379], cidrs = ["10.40.0.0/16"] }]
  }

  assert {
    condition     = contains([for rule in module.deployment.manifests["NetworkPolicy/mirrorsite-egress"].spec.egress : rule.ports[0].port], 6379)
    error_message = "Pods must reach the cache."
  }
}

run "without_boundary" {
  command = plan

  variables {
    pods_boundary = false
  }

  assert {
    condition     = alltrue([for role in aws_iam_role.this : role.permissions_boundary == null])
    error_message = "A boundary that does not exist must not be set."
  }
}

run "warns_of_an_unverified_database" {
  command = plan

  variables {
    database_ca_bundle = null
  }

  expect_failures = [check.database_certificate]
}

run "values_out_of_range" {
  command = plan

  variables {
    host          = "https://mirrorsite.example.org"
    autoscaling   = { min_replicas = 2 }
    load_balancer = { certificate_arn = "a-certificate", source_ranges = ["everywhere"] }
  }

  expect_failures = [var.host, var.autoscaling, var.load_balancer]
}
