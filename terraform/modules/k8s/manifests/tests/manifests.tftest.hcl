mock_provider "helm" {}

variables {
  name      = "mirrorsite"
  namespace = "mirrorsite"
  manifests = [
    { apiVersion = "v1", kind = "ConfigMap", metadata = { name = "settings" } },
    { apiVersion = "apps/v1", kind = "Deployment", metadata = { name = "mirrorsite" } },
  ]
}

run "one_release" {
  command = plan

  assert {
    condition     = yamldecode(helm_release.this.values[0]).manifests == var.manifests
    error_message = "The chart must get the objects as they are."
  }

  assert {
    condition     = helm_release.this.wait && helm_release.this.wait_for_jobs && helm_release.this.timeout == 600
    error_message = "An apply must wait for pods and Jobs."
  }

  assert {
    condition     = helm_release.this.upgrade_install
    error_message = "An apply after a failed first installation must repeat it."
  }

  assert {
    condition     = output.manifests["Deployment/mirrorsite"].apiVersion == "apps/v1" && length(output.manifests) == 2
    error_message = "The objects must be found by kind and name."
  }
}
