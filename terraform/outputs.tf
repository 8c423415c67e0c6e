output "namespace" {
  description = "Namespace of everything in the cluster."
  value       = module.namespace.name
}

output "deployment_name" {
  description = "Name of the Deployment."
  value       = module.deployment.name
}

output "service_name" {
  description = "Name of the Service."
  value       = module.service.name
}

output "service_account_name" {
  description = "Service account of the pods, for a role in the cloud."
  value       = module.deployment.service_account_name
}

output "load_balancer_address" {
  description = "Host name or address of the load balancer; null while it has none, as on Minikube without a tunnel."
  value       = module.service.load_balancer_address
}

output "migration_job_name" {
  description = "Name of the Job that migrated the database for this release."
  value       = module.deployment.migration_job_name
}

output "bucket_name" {
  description = "Name of the uploads bucket."
  value       = local.bucket_name
}

output "s3_endpoint_url" {
  description = "Address of the store inside the cluster; null for AWS."
  value       = local.uses_store ? module.data.object_store.endpoint_url : null
}

output "application_policy_json" {
  description = "The least the service needs in AWS, to attach to its role or user; null without AWS."
  value       = local.uses_aws ? module.s3[0].application_policy_json : null
}
