output "name" {
  description = "Name of the Deployment."
  value       = kubernetes_deployment_v1.this.metadata[0].name
}

output "web_selector" {
  description = "Labels of the web pods, for the Service in front."
  value       = local.web_selector
}

output "service_account_name" {
  description = "Service account of all pods, for a role in the cloud."
  value       = kubernetes_service_account_v1.this.metadata[0].name
}

output "migration_job_name" {
  description = "Name of the Job that migrated the database for this release."
  value       = kubernetes_job_v1.migrate.metadata[0].name
}

output "cron_job_names" {
  description = "Names of the CronJobs, by what they do."
  value       = { for key, job in kubernetes_cron_job_v1.this : key => job.metadata[0].name }
}
