output "manifests" {
  description = "The objects by kind and name, available once they are installed."
  value       = { for manifest in var.manifests : "${manifest.kind}/${manifest.metadata.name}" => manifest }
  depends_on  = [helm_release.this]
}
