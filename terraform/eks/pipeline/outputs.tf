output "role_arns" {
  description = "ARNs of the two roles: for AWS_PLAN_ROLE_ARN and AWS_APPLY_ROLE_ARN of the pipeline's environment, and plan_role_arn and apply_role_arn of the root cluster."
  value       = { for key, role in aws_iam_role.this : key => role.arn }
}

output "pods_boundary_arn" {
  description = "ARN of the permissions boundary of the pods' roles. The root app derives it from its name."
  value       = aws_iam_policy.boundary.arn
}
