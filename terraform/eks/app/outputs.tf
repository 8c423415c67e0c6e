output "load_balancer_address" {
  description = "Host name of the load balancer."
  value       = module.service.load_balancer_address
}

output "deployment_name" {
  description = "Name of the Deployment."
  value       = module.deployment.name
}

output "migration_job_name" {
  description = "Name of the Job that migrated the database for this release."
  value       = module.deployment.migration_job_name
}
