locals {
  # The root app creates a namespace and installs an operator with custom resources, which
  # only the administrator policy covers. A plan reads Secrets too, which the plain view
  # policy excludes.
  access = { for key, entry in {
    plan  = { role = var.plan_role_arn, policy = "AmazonEKSAdminViewPolicy" }
    apply = { role = var.apply_role_arn, policy = "AmazonEKSClusterAdminPolicy" }
  } : key => entry if entry.role != null }
}

resource "aws_eks_access_entry" "this" {
  for_each = local.access

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.value.role
}

resource "aws_eks_access_policy_association" "this" {
  for_each = local.access

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = aws_eks_access_entry.this[each.key].principal_arn
  policy_arn    = "arn:${data.aws_partition.current.partition}:eks::aws:cluster-access-policy/${each.value.policy}"

  access_scope {
    type = "cluster"
  }
}
