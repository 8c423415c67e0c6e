output "kubeconfig_command" {
  description = "Command that writes a kubeconfig for this cluster."
  value       = "aws eks update-kubeconfig --region ${var.region} --name ${aws_eks_cluster.this.name} --alias ${local.name}"
}
