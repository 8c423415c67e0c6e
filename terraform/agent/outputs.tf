output "service_account" {
  description = "Account whose rights the pipelines have in the cluster, as namespace/name; null without an agent."
  value       = one([for agent in module.agent : "${agent.namespace}/${agent.service_account_name}"])
}
