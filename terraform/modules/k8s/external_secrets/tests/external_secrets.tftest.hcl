mock_provider "helm" {}

variables {
  namespace     = "mirrorsite"
  region        = "eu-west-1"
  chart_version = "2.9.0"
  secrets = {
    mirrorsite-application = {
      from     = { application = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:application" }
      template = { SECRET_KEY = "{{ .SECRET_KEY }}" }
    }
  }
}

run "secrets_come_from_secrets_manager" {
  command = plan

  assert {
    condition = [for object in local.manifests : [object.kind, object.metadata.name]] == [
      ["SecretStore", "mirrorsite-secrets-manager"],
      ["ExternalSecret", "mirrorsite-application"],
    ]
    error_message = "One store and one ExternalSecret for each Secret."
  }

  assert {
    condition     = jsonencode(local.manifests[0].spec.provider.aws) == jsonencode({ region = "eu-west-1", service = "SecretsManager" })
    error_message = "No credentials: the operator has a role."
  }

  assert {
    condition = jsonencode(local.manifests[1].spec.target) == jsonencode({
      creationPolicy = "Owner"
      deletionPolicy = "Retain"
      name           = "mirrorsite-application"
      template       = { data = { SECRET_KEY = "{{ .SECRET_KEY }}" }, type = "Opaque" }
    })
    error_message = "The Secret must have exactly these keys, and remain when its source is deleted."
  }

  assert {
    condition     = helm_release.operator.version == "2.9.0" && length(helm_release.reloader) == 0
    error_message = "Charts must be pinned, and Reloader optional."
  }
}

run "reloader" {
  command = plan

  variables {
    reloader_chart_version = "2.2.9"
  }

  assert {
    condition     = yamldecode(helm_release.reloader[0].values[0]).reloader.namespaceSelector == "kubernetes.io/metadata.name=mirrorsite"
    error_message = "Reloader may act in the service's namespace only."
  }
}

run "values_out_of_range" {
  command = plan

  variables {
    chart_version          = "latest"
    refresh_interval       = "often"
    reloader_chart_version = "2"
    secrets                = { empty = { from = {}, template = {} } }
  }

  expect_failures = [var.chart_version, var.refresh_interval, var.reloader_chart_version, var.secrets]
}
