output "role_arns" {
  description = "ARNs of the two roles, by what they do: for the variables AWS_PLAN_ROLE_ARN and AWS_APPLY_ROLE_ARN of the pipeline's environment, and plan_role_arn and apply_role_arn of the root cluster."
  value       = { for key, role in aws_iam_role.this : key => role.arn }
}
