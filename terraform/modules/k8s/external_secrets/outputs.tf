output "secret_names" {
  description = "Names of the Secrets, available once they are requested."
  value       = keys(var.secrets)
  depends_on  = [module.secrets]
}
