mock_provider "kubernetes" {}

variables {
  namespace               = "mirrorsite"
  client_labels           = { "app.kubernetes.io/name" = "mirrorsite" }
  postgres                = {}
  postgres_password       = "correct-horse-battery"
  object_store            = {}
  object_store_access_key = "MIRRORSITELOCAL1"
  object_store_secret_key = "staple-correct-horse-battery"
}

run "both_are_made" {
  command = plan

  assert {
    condition = output.postgres == {
      host       = "mirrorsite-postgres.mirrorsite.svc.cluster.local"
      port       = 5432
      database   = "mirrorsite"
      username   = "mirrorsite"
      pod_labels = { "app.kubernetes.io/name" = "mirrorsite-postgres" }
    }
    error_message = "The database must say where it is, and nothing secret."
  }

  assert {
    condition = output.object_store == {
      endpoint_url = "http://mirrorsite-store.mirrorsite.svc.cluster.local:8333"
      port         = 8333
      bucket_name  = "mirrorsite-uploads"
      pod_labels   = { "app.kubernetes.io/name" = "mirrorsite-store" }
    }
    error_message = "The store must say where it is, and nothing secret."
  }

  assert {
    condition     = kubernetes_secret_v1.postgres[0].data_wo_revision == 1 && kubernetes_secret_v1.object_store[0].data_wo_revision == 1 && kubernetes_secret_v1.postgres[0].binary_data == null
    error_message = "Secrets must be written write-only, with a revision."
  }
}

run "pods_are_restricted" {
  command = plan

  assert {
    condition = alltrue([
      for set in [kubernetes_stateful_set_v1.postgres[0], kubernetes_stateful_set_v1.object_store[0]] : (
        set.spec[0].template[0].spec[0].automount_service_account_token == false
        && set.spec[0].template[0].spec[0].security_context[0].run_as_non_root
        && tonumber(set.spec[0].template[0].spec[0].security_context[0].run_as_user) > 0
        && set.spec[0].template[0].spec[0].security_context[0].seccomp_profile[0].type == "RuntimeDefault"
        && set.spec[0].template[0].spec[0].container[0].security_context[0].allow_privilege_escalation == false
        && set.spec[0].template[0].spec[0].container[0].security_context[0].read_only_root_filesystem
        && set.spec[0].template[0].spec[0].container[0].security_context[0].capabilities[0].drop == tolist(["ALL"])
      )
    ])
    error_message = "Both pods must run under the restricted rules, with a read-only root and no token."
  }

  assert {
    condition = alltrue([
      for set in [kubernetes_stateful_set_v1.postgres[0], kubernetes_stateful_set_v1.object_store[0]] : (
        length(set.spec[0].template[0].spec[0].container[0].startup_probe) == 1
        && length(set.spec[0].template[0].spec[0].container[0].liveness_probe) == 1
        && length(set.spec[0].template[0].spec[0].container[0].readiness_probe) == 1
      )
    ])
    error_message = "Both pods must be probed for start, life and readiness."
  }

  assert {
    condition = {
      for set in [kubernetes_stateful_set_v1.postgres[0], kubernetes_stateful_set_v1.object_store[0]] :
      set.metadata[0].name => set.spec[0].volume_claim_template[0].spec[0].resources[0].requests.storage
    } == { "mirrorsite-postgres" = "5Gi", "mirrorsite-store" = "10Gi" }
    error_message = "Both must keep their data on a volume of their own."
  }
}

run "only_the_service_may_connect" {
  command = plan

  assert {
    condition = {
      for policy in [kubernetes_network_policy_v1.postgres[0], kubernetes_network_policy_v1.object_store[0]] :
      policy.metadata[0].name => [
        policy.spec[0].ingress[0].ports[0].port,
        policy.spec[0].ingress[0].from[0].pod_selector[0].match_labels["app.kubernetes.io/name"],
        length(policy.spec[0].ingress),
      ]
      } == {
      "mirrorsite-postgres" = ["5432", "mirrorsite", 1]
      "mirrorsite-store"    = ["8333", "mirrorsite", 1]
    }
    error_message = "One port each must be open, to the service's pods."
  }

  assert {
    condition     = contains(kubernetes_stateful_set_v1.object_store[0].spec[0].template[0].spec[0].container[0].args, "-disableHttp")
    error_message = "The store's door without a password must stay shut."
  }
}

run "a_database_alone" {
  command = plan

  variables {
    object_store            = null
    object_store_access_key = null
    object_store_secret_key = null
  }

  assert {
    condition     = output.object_store == null && length(kubernetes_stateful_set_v1.object_store) == 0 && length(kubernetes_secret_v1.object_store) == 0 && length(kubernetes_stateful_set_v1.postgres) == 1
    error_message = "Without an object store nothing of it may be made."
  }
}

run "refuses_a_short_password" {
  command = plan

  variables {
    postgres_password = "short"
  }

  expect_failures = [var.postgres_password]
}

run "refuses_a_database_without_password" {
  command = plan

  variables {
    postgres_password = null
  }

  expect_failures = [var.postgres_password]
}

run "refuses_a_short_secret_key" {
  command = plan

  variables {
    object_store_secret_key = "short"
  }

  expect_failures = [var.object_store_secret_key]
}

run "refuses_an_odd_access_key" {
  command = plan

  variables {
    object_store_access_key = "a b"
  }

  expect_failures = [var.object_store_access_key]
}

run "refuses_a_size_without_unit" {
  command = plan

  variables {
    postgres = { storage = "5" }
  }

  expect_failures = [var.postgres]
}

run "refuses_an_odd_bucket" {
  command = plan

  variables {
    object_store = { bucket_name = "Uploads" }
  }

  expect_failures = [var.object_store]
}

run "refuses_to_let_everybody_in" {
  command = plan

  variables {
    client_labels = {}
  }

  expect_failures = [var.client_labels]
}

run "refuses_revision_zero" {
  command = plan

  variables {
    secrets_revision = 0
  }

  expect_failures = [var.secrets_revision]
}
