# not in moto: aws_eks_pod_identity_association
resource "aws_eks_pod_identity_association" "this" {
  for_each = {}
}
