# An uploads bucket in AWS for a service outside EKS. Applied by hand: it outlives the
# releases, so they must not be able to change it.
module "s3" {
  source = "../modules/s3"

  bucket_name                = var.bucket_name
  break_glass_principal_arns = var.break_glass_principal_arns
  tags                       = { project = "mirrorsite" }
  object_lock = {
    enabled                = true
    default_retention_days = var.default_retention_days
  }
}
