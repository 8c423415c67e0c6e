mock_provider "kubernetes" {}

mock_provider "helm" {}

variables {
  namespace               = "mirrorsite"
  name                    = "mirrorsite"
  client_labels           = { "app.kubernetes.io/name" = "mirrorsite" }
  postgres                = { enabled = true }
  postgres_password       = "correct-horse-battery"
  object_store            = { enabled = true }
  object_store_access_key = "MIRRORSITELOCAL1"
  object_store_secret_key = "staple-correct-horse-battery"
}

run "one_of_each" {
  command = plan

  assert {
    condition     = toset(flatten([for release in module.release : keys(release.manifests)])) == toset(["NetworkPolicy/mirrorsite-postgres", "NetworkPolicy/mirrorsite-store", "Service/mirrorsite-postgres", "Service/mirrorsite-store", "StatefulSet/mirrorsite-postgres", "StatefulSet/mirrorsite-store"])
    error_message = "Each server needs its Service, its policy and its pod."
  }

  assert {
    condition     = output.postgres.host == "mirrorsite-postgres.mirrorsite.svc.cluster.local" && output.object_store.endpoint_url == "http://mirrorsite-store.mirrorsite.svc.cluster.local:8333"
    error_message = "The outputs must be the Services' addresses."
  }

  assert {
    condition     = alltrue([for key, release in module.release : release.manifests["NetworkPolicy/mirrorsite-${key}"].spec.ingress[0].from == [{ podSelector = { matchLabels = var.client_labels } }]])
    error_message = "Only clients may connect."
  }

  assert {
    condition     = [for claim in module.release["postgres"].manifests["StatefulSet/mirrorsite-postgres"].spec.volumeClaimTemplates : claim.metadata.name] == ["data"] && contains([for mount in module.pod["postgres"].spec.containers[0].volumeMounts : "${mount.name} ${mount.mountPath}"], "data /var/lib/postgresql") && !contains(module.pod["postgres"].spec.volumes[*].name, "data")
    error_message = "The data must be on the claimed volume."
  }

  assert {
    condition     = module.pod["postgres"].spec.containers[0].env[2].value == "--auth=scram-sha-256 --data-checksums" && contains(module.pod["store"].spec.containers[0].args, "-disableHttp")
    error_message = "Neither server may trust a local connection."
  }
}

run "a_new_revision_does_not_restart_the_database" {
  command = plan

  variables {
    secrets_revision = 2
  }

  assert {
    condition     = module.release["postgres"].manifests["StatefulSet/mirrorsite-postgres"].spec.template.metadata.annotations == {} && module.release["store"].manifests["StatefulSet/mirrorsite-store"].spec.template.metadata.annotations["mirrorsite/secrets-revision"] == "2"
    error_message = "PostgreSQL reads its password only when the volume is new; the store reads its keys at start."
  }
}

run "disabled" {
  command = plan

  variables {
    postgres                = {}
    postgres_password       = null
    object_store            = {}
    object_store_access_key = null
    object_store_secret_key = null
  }

  assert {
    condition     = length(module.release) == 0 && length(kubernetes_secret_v1.this) == 0
    error_message = "What is not enabled must not be created."
  }
}

run "values_out_of_range" {
  command = plan

  variables {
    client_labels = {}
    postgres      = { enabled = true, storage = "5" }
    object_store  = { enabled = true, bucket_name = "Upper.Case" }
  }

  expect_failures = [var.client_labels, var.postgres, var.object_store]
}

run "invalid_secrets" {
  command = plan

  variables {
    postgres_password       = "short"
    object_store_access_key = "with spaces"
    object_store_secret_key = null
  }

  expect_failures = [var.postgres_password, var.object_store_access_key, var.object_store_secret_key]
}
