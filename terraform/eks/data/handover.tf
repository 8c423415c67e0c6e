data "aws_ssm_parameter" "network" {
  name = "/mirrorsite/${var.environment}/network"
}

data "aws_ssm_parameter" "cluster" {
  name = "/mirrorsite/${var.environment}/cluster"
}

locals {
  network = jsondecode(data.aws_ssm_parameter.network.insecure_value)
  cluster = jsondecode(data.aws_ssm_parameter.cluster.insecure_value)

  handover = {
    bucket_name = module.s3.bucket_name
    # For the pods' role. Without whitespace, as a parameter holds 4 KiB.
    application_policy_json = jsonencode(jsondecode(module.s3.application_policy_json))
    database = {
      host       = aws_db_instance.this.address
      port       = aws_db_instance.this.port
      name       = aws_db_instance.this.db_name
      secret_arn = local.database_secret_arn
    }
    application_secret_arn = aws_secretsmanager_secret.this["application"].arn
    audit_secret_arn       = aws_secretsmanager_secret.this["audit"].arn
    secrets_key_arn        = aws_kms_key.this.arn
    registry_url           = one(aws_ecr_repository.this[*].repository_url)
  }
}

resource "aws_ssm_parameter" "handover" {
  #checkov:skip=CKV2_AWS_34:No secrets, only their ARNs.
  #checkov:skip=CKV_AWS_337:No secrets, only their ARNs.
  name  = "/mirrorsite/${var.environment}/data"
  type  = "String"
  value = jsonencode(local.handover)
}
