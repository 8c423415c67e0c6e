# A pod that the restricted pod security standard admits: one container, no service account
# token, a read-only root file system, an unprivileged user.

locals {
  volumes = merge(
    { tmp = { mount = "/tmp", source = { emptyDir = { sizeLimit = var.tmp_size } } } },
    var.volumes,
  )
}

output "spec" {
  description = "The specification, as in the Kubernetes API."
  value = merge(
    {
      automountServiceAccountToken = false
      # They would add environment variables that could be mistaken for settings.
      enableServiceLinks = false

      securityContext = {
        runAsNonRoot        = true
        runAsUser           = var.user_id
        runAsGroup          = var.user_id
        fsGroup             = var.user_id
        fsGroupChangePolicy = "OnRootMismatch"
        seccompProfile      = { type = "RuntimeDefault" }
      }

      containers = [merge(var.container, {
        securityContext = {
          allowPrivilegeEscalation = false
          privileged               = false
          readOnlyRootFilesystem   = true
          runAsNonRoot             = true
          capabilities             = { drop = ["ALL"] }
        }
        volumeMounts = [for name, volume in local.volumes : { name = name, mountPath = volume.mount, readOnly = try(volume.read_only, false) }]
      })]

      # A volume without a source comes from a volumeClaimTemplate.
      volumes = [for name, volume in local.volumes : merge({ name = name }, volume.source) if try(volume.source, null) != null]
    },
    var.spec,
  )
}
