output "secret_names" {
  description = "Names of the Secrets, known once they are asked for."
  value       = keys(var.secrets)
  depends_on  = [module.secrets]
}
