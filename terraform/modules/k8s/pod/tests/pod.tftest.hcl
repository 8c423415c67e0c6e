variables {
  user_id   = 10001
  container = { name = "web", image = "mirrorsite:1.0.0", resources = { requests = { cpu = "50m", memory = "320Mi" }, limits = { memory = "512Mi" } } }
  volumes = {
    ca   = { mount = "/etc/ca", source = { configMap = { name = "ca" } }, read_only = true }
    data = { mount = "/data" }
  }
  spec = { restartPolicy = "Never" }
}

run "restricted" {
  command = plan

  assert {
    condition     = output.spec.automountServiceAccountToken == false && output.spec.securityContext == { fsGroup = 10001, fsGroupChangePolicy = "OnRootMismatch", runAsGroup = 10001, runAsNonRoot = true, runAsUser = 10001, seccompProfile = { type = "RuntimeDefault" } }
    error_message = "The pod must be unprivileged and have no token of the cluster."
  }

  assert {
    condition     = output.spec.containers[0].securityContext == { allowPrivilegeEscalation = false, capabilities = { drop = ["ALL"] }, privileged = false, readOnlyRootFilesystem = true, runAsNonRoot = true }
    error_message = "The container must be unprivileged, on a read-only root."
  }

  assert {
    condition     = output.spec.containers[0].image == "mirrorsite:1.0.0" && output.spec.restartPolicy == "Never"
    error_message = "What is given must be part of the specification."
  }

  assert {
    condition     = { for mount in output.spec.containers[0].volumeMounts : mount.name => "${mount.mountPath} ${mount.readOnly}" } == { ca = "/etc/ca true", data = "/data false", tmp = "/tmp false" } && output.spec.volumes[*].name == ["ca", "tmp"]
    error_message = "Only /tmp and what is given may be mounted; a claim's volume is not listed again."
  }
}

run "values_out_of_range" {
  command = plan

  variables {
    user_id   = 0
    container = { name = "web" }
  }

  expect_failures = [var.user_id, var.container]
}
