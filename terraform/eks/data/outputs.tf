output "handover" {
  description = "What the root app reads from the parameter /mirrorsite/ENVIRONMENT/data."
  value       = local.handover
}
