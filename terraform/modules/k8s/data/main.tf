# A database and an object store inside the cluster, so that the whole system runs
# where there is no account with any cloud. One pod and one volume each: a lost
# node is an outage, a lost volume a loss. Production takes a managed database and
# a bucket instead. postgres.tf and object_store.tf hold one each.

locals {
  labels = {
    "app.kubernetes.io/part-of"    = "mirrorsite"
    "app.kubernetes.io/managed-by" = "terraform"
  }
  postgres_name     = "${var.name}-postgres"
  postgres_selector = { "app.kubernetes.io/name" = local.postgres_name }
  postgres_port     = 5432

  object_store_name     = "${var.name}-store"
  object_store_selector = { "app.kubernetes.io/name" = local.object_store_name }
  object_store_port     = 8333
}
