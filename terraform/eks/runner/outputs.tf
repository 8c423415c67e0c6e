output "token_secret_name" {
  description = "Secret into which the runner's token is put by hand."
  value       = aws_secretsmanager_secret.token.name
}

output "cluster_name" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.this.name
}
