output "handover" {
  description = "What the root app reads, as written to the parameter /mirrorsite/ENVIRONMENT/data."
  value       = local.handover
}
