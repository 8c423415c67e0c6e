output "token_secret_name" {
  description = "Secret in which an operator stores the runner's token."
  value       = aws_secretsmanager_secret.token.name
}

output "cluster_name" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.this.name
}
