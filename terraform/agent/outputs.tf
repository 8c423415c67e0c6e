output "service_account" {
  description = "Account whose rights the pipelines have in the cluster, as namespace/name."
  value       = "${module.agent.namespace}/${module.agent.service_account_name}"
}
