# The uploads bucket in AWS for a service that does not run on EKS (whose bucket is made
# by eks/data). Applied by hand: what outlives every release is out of a release's reach.
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
