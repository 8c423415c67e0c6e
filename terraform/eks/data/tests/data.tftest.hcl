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

override_data {
  target = data.aws_ssm_parameter.cluster
  values = {
    insecure_value = "{\"name\":\"mirrorsite-production\",\"security_group_id\":\"sg-cluster\"}"
  }
}

variables {
  environment = "production"
  bucket_name = "mirrorsite-test-uploads"
}

run "defaults" {
  command = plan

  assert {
    condition     = aws_db_instance.this.multi_az && aws_db_subnet_group.this.subnet_ids == toset(["subnet-a", "subnet-b", "subnet-c"])
    error_message = "The database needs a standby in another of three zones."
  }

  assert {
    condition     = aws_db_instance.this.backup_retention_period == 35 && aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot && !aws_db_instance.this.delete_automated_backups
    error_message = "Backups must be kept, and deletion be protected."
  }

  assert {
    condition     = !aws_db_instance.this.publicly_accessible && aws_vpc_security_group_ingress_rule.database.referenced_security_group_id == "sg-cluster" && aws_vpc_security_group_ingress_rule.database.from_port == 5432
    error_message = "Only the cluster may connect to the database."
  }

  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password == null && one(aws_secretsmanager_secret_rotation.database.rotation_rules).schedule_expression == "cron(0 3 1 * ? *)"
    error_message = "RDS must keep and rotate the password, on this schedule; Terraform must not know it."
  }

  assert {
    condition     = contains([for parameter in aws_db_parameter_group.this.parameter : "${parameter.name}=${parameter.value}"], "rds.force_ssl=1")
    error_message = "Connections without TLS must be refused."
  }

  assert {
    condition     = aws_db_instance.this.storage_encrypted && aws_kms_key.this.enable_key_rotation
    error_message = "The volume must be encrypted."
  }
}

run "options" {
  command = plan

  variables {
    events_topic_arn = "arn:aws:sns:eu-west-1:123456789012:operations"
    registry         = true
  }

  assert {
    condition     = aws_db_event_subscription.this[0].sns_topic == var.events_topic_arn && aws_db_event_subscription.this[0].source_ids == toset(["mirrorsite-production"]) && contains(aws_db_event_subscription.this[0].event_categories, "low storage")
    error_message = "The topic must receive events of this database's storage."
  }

  assert {
    condition     = one(aws_ecr_repository.this[*].image_tag_mutability) == "IMMUTABLE"
    error_message = "Tags must be immutable."
  }
}

run "values_out_of_range" {
  command = plan

  variables {
    deletion_protection = false
    backup_days         = 1
    engine_version      = "11"
    instance_class      = "large"
    events_topic_arn    = "operations"
    rotation_schedule   = "rate(1 hour)"
    storage             = { allocated = 100, max = 50 }
  }

  expect_failures = [var.deletion_protection, var.backup_days, var.engine_version, var.instance_class, var.events_topic_arn, var.rotation_schedule, var.storage]
}
