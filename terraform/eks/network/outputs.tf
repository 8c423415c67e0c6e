output "handover" {
  description = "What the roots cluster, data and runner read, as written to the parameter /mirrorsite/ENVIRONMENT/network."
  value       = local.handover
}
