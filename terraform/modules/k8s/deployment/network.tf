# The namespace denies everything by default; these are the exceptions.

locals {
  network_policies = [
    {
      apiVersion = "networking.k8s.io/v1"
      kind       = "NetworkPolicy"
      metadata   = merge(local.metadata.web, { name = "${var.name}-web" })
      spec = {
        policyTypes = ["Ingress"]
        podSelector = { matchLabels = local.selector.web }
        ingress = concat(
          # From anywhere: the load balancer restricts the clients.
          [{ ports = [{ protocol = "TCP", port = local.port }] }],
          [for namespace in var.metrics_namespace[*] : {
            ports = [{ protocol = "TCP", port = local.metrics_port }]
            from  = [{ namespaceSelector = { matchLabels = { "kubernetes.io/metadata.name" = namespace } } }]
          }],
        )
      }
    },
    {
      apiVersion = "networking.k8s.io/v1"
      kind       = "NetworkPolicy"
      metadata   = { namespace = var.namespace, labels = local.labels, name = "${var.name}-egress" }
      spec = {
        policyTypes = ["Egress"]
        podSelector = { matchLabels = { "app.kubernetes.io/name" = var.name } }
        egress = concat(
          # Name resolution, to any address: a node-local cache is not a pod.
          [{ ports = [{ protocol = "UDP", port = 53 }, { protocol = "TCP", port = 53 }] }],
          # The canary, through the Service.
          [{ ports = [{ protocol = "TCP", port = local.port }], to = [{ podSelector = { matchLabels = local.selector.web } }] }],
          [for rule in var.egress : {
            ports = [for port in rule.ports : { protocol = "TCP", port = port }]
            to = concat(
              [for cidr in rule.cidrs : { ipBlock = { cidr = cidr } }],
              [for labels in length(rule.pod_labels) > 0 ? [rule.pod_labels] : [] : { podSelector = { matchLabels = labels } }],
            )
          }],
        )
      }
    },
  ]
}
