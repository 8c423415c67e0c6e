output "service_account" {
  description = "Service account of the agent, whose rights the pipelines have, as namespace/name; null without an agent."
  value       = one([for agent in module.agent : "${agent.namespace}/${agent.service_account_name}"])
}
