module "uploads" {
  source = "../.."

  bucket_name                = var.bucket_name
  break_glass_principal_arns = var.break_glass_principal_arns
  object_lock = {
    enabled                = true
    default_retention_days = var.default_retention_days
  }
  tags = { project = "mirrorsite" }
}
