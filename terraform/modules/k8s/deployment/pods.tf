# The service's pods. Frequent jobs check recent records only, because the time for all of
# them grows with their number (docs/performance.md); everything is checked weekly or monthly.

locals {
  cron_jobs = merge({
    reconcile-uploads = {
      schedule = "*/10 * * * *"
      command  = ["python", "manage.py", "reconcile_uploads", "--fix", "--min-age", "15m", "--since", "1d"]
      deadline = 3600
    }
    reconcile-all-uploads = {
      schedule = "23 1 * * 0"
      command  = ["python", "manage.py", "reconcile_uploads", "--fix", "--min-age", "15m"]
      deadline = 86400
    }
    purge-uploads = {
      schedule = "17 3 * * *"
      command  = ["python", "manage.py", "purge_uploads", "--older-than", "${var.purge_after_days}d", "--yes"]
      deadline = 21600
    }
    verify-audit = {
      schedule = "47 4 * * *"
      command  = ["python", "manage.py", "verify_audit", "--since", "2d"]
      deadline = 14400
    }
    verify-whole-audit = {
      schedule = "47 5 2 * *"
      command  = ["python", "manage.py", "verify_audit"]
      deadline = 172800
    }
    canary = {
      schedule = "*/15 * * * *"
      # UPLOAD_AUTH may require a token.
      command  = ["sh", "-c", "token=$(python manage.py issue_token canary) && CANARY_TOKEN=$token exec python manage.py canary"]
      deadline = 300
    }
    }, { for key, job in {
      backup-database = {
        schedule = "37 2 * * *"
        command  = concat(["python", "manage.py", "backup_database"], [for number in var.backups.keep[*] : "--keep=${number}"])
        deadline = 21600
      }
  } : key => job if var.backups.enabled })

  requests = { web = var.resources.memory_request }
  limits = { for name, quantity in {
    cpu    = var.resources.cpu_limit
    memory = var.resources.memory_limit
  } : name => quantity if quantity != null }

  # What all containers have in common.
  containers = { for component in keys(local.metadata) : component => {
    name            = component
    image           = var.image
    imagePullPolicy = var.image_pull_policy
    envFrom = [
      { configMapRef = { name = kubernetes_config_map_v1.this.metadata[0].name } },
      { secretRef = { name = local.application_secret_name } },
    ]
    resources = {
      requests = { cpu = var.resources.cpu_request, memory = lookup(local.requests, component, "160Mi") }
      limits   = local.limits
    }
  } if component != "image" }

  # Without the header the kubelet would send the pod's address as Host, which the service
  # refuses. No probe depends on the database or the bucket: a pod that cannot reach them
  # still answers health and mirror, and a restart would not help. /api/ready and the
  # alerts report them.
  probe = {
    httpGet = { path = "/api/health", port = local.port, httpHeaders = [{ name = "Host", value = var.name }] }
  }

  database_ca_volume = { for name, map in { database-ca = one(kubernetes_config_map_v1.database_ca[*].metadata[0].name) } : name => {
    mount     = local.database_ca_directory
    read_only = true
    source    = { configMap = { name = map } }
  } if var.database_ca_bundle != null }

  pods = merge(
    {
      web = {
        container = merge(local.containers.web, {
          ports = [
            { name = "http", containerPort = local.port, protocol = "TCP" },
            { name = "metrics", containerPort = local.metrics_port, protocol = "TCP" },
          ]
          # Up to a minute to start; the other probes begin after that.
          startupProbe   = merge(local.probe, { periodSeconds = 2, timeoutSeconds = 2, failureThreshold = 30 })
          livenessProbe  = merge(local.probe, { periodSeconds = 10, timeoutSeconds = 3, failureThreshold = 3 })
          readinessProbe = merge(local.probe, { periodSeconds = 5, timeoutSeconds = 3, failureThreshold = 3 })
          # Load balancers continue to send requests for a while after termination begins.
          lifecycle = { preStop = { exec = { command = ["sleep", tostring(var.rollout.drain_seconds)] } } }
        })
        tmp_size = "256Mi"
        # gunicorn's heartbeat files: on a disk they can stall a worker.
        volumes = { shm = { mount = "/dev/shm", source = { emptyDir = { medium = "Memory", sizeLimit = "64Mi" } } } }
        spec = {
          # The grace period includes preStop.
          terminationGracePeriodSeconds = var.rollout.drain_seconds + local.graceful_seconds + 20
          topologySpreadConstraints = [for key, demand in {
            "kubernetes.io/hostname"      = var.spread.nodes
            "topology.kubernetes.io/zone" = var.spread.zones
            } : {
            maxSkew           = 1
            topologyKey       = key
            whenUnsatisfiable = demand
            # Do not wait for a zone that has lost all its nodes.
            nodeTaintsPolicy = "Honor"
            # Do not count pods of the previous release.
            matchLabelKeys = ["pod-template-hash"]
            labelSelector  = { matchLabels = local.selector.web }
          }]
          tolerations = [for condition in var.node_loss_toleration_seconds == null ? [] : ["not-ready", "unreachable"] : {
            key               = "node.kubernetes.io/${condition}"
            operator          = "Exists"
            effect            = "NoExecute"
            tolerationSeconds = var.node_loss_toleration_seconds
          }]
        }
      }

      sealer = {
        container = merge(local.containers.sealer, {
          command = ["python", "manage.py", "seal_audit", "--every", "60"]
          # No other container has this key.
          env = [{ name = "AUDIT_SIGNING_KEY", valueFrom = { secretKeyRef = { name = local.audit_secret_name, key = "AUDIT_SIGNING_KEY" } } }]
        })
        tmp_size = "64Mi"
        volumes  = {}
        spec     = { terminationGracePeriodSeconds = 60 }
      }

      migrate = {
        container = merge(local.containers.migrate, { command = ["python", "manage.py", "migrate", "--noinput"] })
        tmp_size  = "64Mi"
        volumes   = {}
        spec      = { restartPolicy = "Never" }
      }
    },
    { for key, job in local.cron_jobs : key => {
      container = merge(local.containers[key], { command = job.command })
      tmp_size  = key == "backup-database" ? "10Gi" : "64Mi"
      volumes   = {}
      spec      = { restartPolicy = "Never" }
    } },
  )
}

module "pod" {
  source   = "../pod"
  for_each = local.pods

  user_id   = local.user_id
  container = each.value.container
  tmp_size  = each.value.tmp_size
  volumes   = merge(each.value.volumes, local.database_ca_volume)
  spec = merge(each.value.spec, {
    serviceAccountName = kubernetes_service_account_v1.this.metadata[0].name
    imagePullSecrets   = [for name in local.pull_secret_names : { name = name }]
  })
}
