# A database and an object store in the cluster, one pod and one volume each. Production
# uses a managed database and a bucket.

locals {
  # Name of the database and of its user.
  postgres_name = "mirrorsite"

  labels = {
    "app.kubernetes.io/part-of"    = "mirrorsite"
    "app.kubernetes.io/managed-by" = "terraform"
  }

  servers = {
    postgres = {
      port    = 5432
      service = { clusterIP = "None" }
      # Over TCP, on which the temporary server that initialises the volume does not listen.
      probe   = { exec = { command = ["pg_isready", "--host=127.0.0.1", "--username=${local.postgres_name}", "--dbname=${local.postgres_name}"] } }
      storage = var.postgres.storage
      user_id = 999
      # The password is read only when the volume is new, so a change needs no new pod.
      annotations = {}
      container = {
        image = "docker.io/library/postgres:18.6-bookworm"
        env = [
          { name = "POSTGRES_DB", value = local.postgres_name },
          { name = "POSTGRES_USER", value = local.postgres_name },
          # By default the image trusts local connections.
          { name = "POSTGRES_INITDB_ARGS", value = "--auth=scram-sha-256 --data-checksums" },
          # Below the mount point: initdb refuses a directory that contains lost+found.
          { name = "PGDATA", value = "/var/lib/postgresql/pgdata" },
        ]
        resources = { requests = { cpu = "100m", memory = "128Mi" }, limits = { memory = "512Mi" } }
      }
      volumes = {
        data = { mount = "/var/lib/postgresql" }
        run  = { mount = "/var/run/postgresql", source = { emptyDir = {} } }
        shm  = { mount = "/dev/shm", source = { emptyDir = { medium = "Memory", sizeLimit = "128Mi" } } }
      }
    }

    store = {
      port        = 8333
      service     = {}
      probe       = { httpGet = { path = "/healthz", port = 8333 } }
      storage     = var.object_store.storage
      user_id     = 1000
      annotations = { "mirrorsite/secrets-revision" = tostring(var.secrets_revision) }
      container = {
        image = "docker.io/chrislusf/seaweedfs:4.48"
        # Instead of the image's entry point, which needs root.
        command = ["weed"]
        args = [
          "mini",
          "-dir=/data",
          # The store's components communicate on the loopback.
          "-ip=127.0.0.1",
          "-ip.bind=0.0.0.0",
          "-s3.port=8333",
          "-bucket=${var.object_store.bucket_name}",
          # A misspelt bucket name must fail.
          "-s3.autoCreateBucket=false",
          "-s3.allowDeleteBucketNotEmpty=false",
          # The filer's HTTP port would bypass S3 authentication.
          "-disableHttp",
          "-admin.ui=false",
          "-webdav=false",
          "-s3.port.iceberg=0",
          "-s3.port.lance=0",
          "-master.telemetry=false",
        ]
        resources = { requests = { cpu = "100m", memory = "320Mi" }, limits = { memory = "1Gi" } }
      }
      volumes = { data = { mount = "/data" } }
    }
  }

  wanted    = { postgres = var.postgres.enabled, store = var.object_store.enabled }
  names     = { for key, server in local.servers : key => "${var.name}-${key}" }
  selectors = { for key, name in local.names : key => { "app.kubernetes.io/name" = name } }
  metadata  = { for key, name in local.names : key => { name = name, namespace = var.namespace, labels = merge(local.labels, local.selectors[key]) } }
}

resource "kubernetes_secret_v1" "this" {
  for_each = { for key, wanted in local.wanted : key => wanted if wanted }

  type             = "Opaque"
  data_wo_revision = var.secrets_revision
  data_wo = each.key == "postgres" ? { POSTGRES_PASSWORD = var.postgres_password } : {
    AWS_ACCESS_KEY_ID     = var.object_store_access_key
    AWS_SECRET_ACCESS_KEY = var.object_store_secret_key
  }

  metadata {
    name      = local.names[each.key]
    namespace = var.namespace
    labels    = local.metadata[each.key].labels
  }
}

module "pod" {
  source   = "../pod"
  for_each = local.servers

  user_id  = each.value.user_id
  volumes  = each.value.volumes
  tmp_size = "1Gi"
  spec     = { terminationGracePeriodSeconds = 60 }
  container = merge(each.value.container, {
    name           = each.key
    ports          = [{ name = each.key, containerPort = each.value.port, protocol = "TCP" }]
    envFrom        = [{ secretRef = { name = local.names[each.key] } }]
    startupProbe   = merge(each.value.probe, { periodSeconds = 2, timeoutSeconds = 3, failureThreshold = 60 })
    livenessProbe  = merge(each.value.probe, { periodSeconds = 10, timeoutSeconds = 5, failureThreshold = 6 })
    readinessProbe = merge(each.value.probe, { periodSeconds = 5, timeoutSeconds = 5, failureThreshold = 2 })
  })
}

module "release" {
  source   = "../manifests"
  for_each = { for key, wanted in local.wanted : key => local.servers[key] if wanted }

  name      = local.names[each.key]
  namespace = var.namespace
  manifests = [
    {
      apiVersion = "v1"
      kind       = "Service"
      metadata   = local.metadata[each.key]
      spec = merge(each.value.service, {
        type     = "ClusterIP"
        selector = local.selectors[each.key]
        ports    = [{ name = each.key, protocol = "TCP", port = each.value.port, targetPort = each.value.port }]
      })
    },
    {
      # The store's internal ports require no password.
      apiVersion = "networking.k8s.io/v1"
      kind       = "NetworkPolicy"
      metadata   = local.metadata[each.key]
      spec = {
        policyTypes = ["Ingress"]
        podSelector = { matchLabels = local.selectors[each.key] }
        ingress     = [{ ports = [{ protocol = "TCP", port = each.value.port }], from = [{ podSelector = { matchLabels = var.client_labels } }] }]
      }
    },
    {
      apiVersion = "apps/v1"
      kind       = "StatefulSet"
      metadata   = local.metadata[each.key]
      spec = {
        serviceName = local.names[each.key]
        replicas    = 1
        selector    = { matchLabels = local.selectors[each.key] }
        template = {
          metadata = { labels = local.metadata[each.key].labels, annotations = each.value.annotations }
          spec     = module.pod[each.key].spec
        }
        volumeClaimTemplates = [{
          metadata = { name = "data" }
          spec = merge(
            { for field, value in { storageClassName = var.storage_class_name } : field => value if value != null },
            { accessModes = ["ReadWriteOnce"], resources = { requests = { storage = each.value.storage } } },
          )
        }]
      }
    },
  ]

  depends_on = [kubernetes_secret_v1.this]
}
