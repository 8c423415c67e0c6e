output "handover" {
  description = "What the roots cluster, data, app and runner read from the parameter /mirrorsite/ENVIRONMENT/network."
  value       = local.handover
}
