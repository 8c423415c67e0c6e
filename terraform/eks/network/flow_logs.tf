resource "aws_cloudwatch_log_group" "flows" {
  #checkov:skip=CKV_AWS_158:Addresses and ports only; CloudWatch encrypts them with its own key.
  #checkov:skip=CKV_AWS_338:365 days by default; checkov cannot evaluate the variable.
  name              = "/${local.name}/vpc-flows"
  retention_in_days = var.log_days
}

data "aws_iam_policy_document" "flows" {
  statement {
    sid       = "WriteTheFlows"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.flows.arn}:*"]
  }
}

resource "aws_iam_role" "flows" {
  name = "${local.name}-vpc-flows"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "vpc-flow-logs.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy" "flows" {
  name   = "write-flows"
  role   = aws_iam_role.flows.id
  policy = data.aws_iam_policy_document.flows.json
}

resource "aws_flow_log" "this" {
  vpc_id          = aws_vpc.this.id
  traffic_type    = "ALL"
  iam_role_arn    = aws_iam_role.flows.arn
  log_destination = aws_cloudwatch_log_group.flows.arn
}
