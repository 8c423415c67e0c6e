# Overrides for applying a copy of the root to moto. sre/terraform-check prints each line
# "not in moto".

# not in moto: aws_eks_cluster, Auto Mode and access: made, but these settings are not kept
resource "aws_eks_cluster" "this" {
  lifecycle {
    ignore_changes = [
      access_config, bootstrap_self_managed_addons, compute_config, encryption_config,
      kubernetes_network_config, storage_config, upgrade_policy, version, vpc_config, zonal_shift_config,
    ]
  }
}

# not in moto: aws_eks_addon
resource "aws_eks_addon" "metrics_server" {
  count = 0
}

# not in moto: aws_eks_access_entry, aws_eks_access_policy_association
resource "aws_eks_access_entry" "this" {
  for_each = {}
}

resource "aws_eks_access_policy_association" "this" {
  for_each = {}
}
