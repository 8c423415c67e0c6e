# shellcheck shell=bash
# Sourced by the scripts that reach a cluster: dry runs, and never the wrong cluster.

. sre/lib/environment.sh
case " $* " in *" -h "* | *" --help "*) usage; exit 0 ;; esac

# The Minikube profile, and so the context, that is ours.
PROFILE="${MINIKUBE_PROFILE:-mirrorsite}"
NAMESPACE="${NAMESPACE:-mirrorsite}"
dry_run=no
yes=no
approve=() # with --yes, the option of terraform apply
context=""

fail() {
  echo "${0##*/}: $*" >&2
  exit 2
}

# Run a command that changes something; a dry run only shows it.
run() {
  printf '+ %s\n' "$*" >&2
  [ "$dry_run" = yes ] || "$@"
}

need() {
  local program
  for program in "$@"; do
    command -v "$program" >/dev/null 2>&1 ||
      fail "$program is not installed; see docs/deploy.md."
  done
}

# Ask before something that cannot be undone; not with --yes, nor in a dry run.
confirm() {
  local answer
  if [ "$yes" = yes ] || [ "$dry_run" = yes ]; then
    return 0
  fi
  read -r -p "$1 [y/N] " answer || true
  [ "$answer" = y ] || fail "nothing was changed."
}

# Set $KEPT, where the secrets and Terraform's state of the context's namespace are kept:
# with the state of another one, Terraform would delete that one.
locate_files() {
  KEPT=.local
  [ "$context $NAMESPACE" = "mirrorsite mirrorsite" ] || KEPT=".local/$context/$NAMESPACE"
  SECRETS_FILE="${SECRETS_FILE:-$KEPT/cluster.env}"
}

# Set $context and $KEPT: --context, else our own profile, and only if kubectl's current context is
# that profile too. An operator whose kubectl points elsewhere may mean that cluster.
require_context() {
  local current
  if [ -z "$context" ]; then
    current="$(kubectl config current-context 2>/dev/null || true)"
    [ "$current" = "$PROFILE" ] || fail "kubectl's context is ${current:-not set}, not" \
      "$PROFILE; say --context NAME for another cluster, or kubectl config use-context $PROFILE."
    context="$PROFILE"
  fi
  kubectl config get-contexts --output=name 2>/dev/null | grep -qxF -- "$context" ||
    fail "kubectl knows no context $context."
  locate_files
}

# The same, and it must be a Minikube: for what would be wrong anywhere else.
require_minikube() {
  local provider
  require_context
  provider="$(kubectl config view --minify --context="$context" --output=jsonpath='{.clusters[0].cluster.extensions[*].extension.provider}')"
  case " $provider " in
    *" minikube.sigs.k8s.io "*) ;;
    *) fail "the context $context is no Minikube; this script is for Minikube only." ;;
  esac
}

in_cluster() {
  kubectl --context="$context" --namespace="$NAMESPACE" "$@"
}

# Run Terraform on the cluster of $context; the provider reads these and not KUBECONFIG.
on_cluster() {
  env KUBE_CONFIG_PATH="${KUBECONFIG:-$HOME/.kube/config}" KUBE_CTX="$context" "$@"
}

# Apply terraform/agent, which creates the namespace: a deployment needs it, and may lack
# the right to create it. $@: further arguments for Terraform.
apply_cluster_root() {
  mkdir -p "$KEPT"
  TF_DATA_DIR="$PWD/.local/agent" run on_cluster terraform -chdir=terraform/agent init -input=false
  TF_DATA_DIR="$PWD/.local/agent" run on_cluster terraform -chdir=terraform/agent apply \
    -state="$PWD/$KEPT/agent.tfstate" -var="target_namespaces=[\"$NAMESPACE\"]" \
    ${approve[@]+"${approve[@]}"} "$@"
}

# --- Secrets of the local cluster, made once and kept out of git ------------------------

SECRETS="TF_VAR_secret_key TF_VAR_postgres_password TF_VAR_aws_access_key_id \
  TF_VAR_aws_secret_access_key TF_VAR_audit_signing_key TF_VAR_audit_public_keys \
  TF_VAR_secrets_revision"

random_text() {
  # Letters and digits only: these go into URLs and YAML.
  LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom 2>/dev/null | head -c "$1" || true
}

# Print the value of a secret in the file; empty when it is missing.
secret() {
  sed -n "s/^$1=//p" "$SECRETS_FILE"
}

new_secret() {
  case "$1" in
    TF_VAR_secret_key) random_text 64 ;;
    TF_VAR_postgres_password) random_text 32 ;;
    TF_VAR_aws_access_key_id) random_text 20 ;;
    TF_VAR_aws_secret_access_key) random_text 40 ;;
    TF_VAR_audit_signing_key) head -c 32 /dev/urandom | base64 | tr -d '\n' ;;
    TF_VAR_audit_public_keys) secret TF_VAR_audit_signing_key | ./sre/audit-public-key ;;
    TF_VAR_secrets_revision) echo 1 ;;
  esac
}

# Add what the file lacks, and put all of it into the environment.
load_secrets() {
  local name value
  if [ "$dry_run" = no ]; then
    mkdir -p "$(dirname "$SECRETS_FILE")"
    (umask 077 && touch "$SECRETS_FILE")
    for name in $SECRETS; do
      if ! grep -q "^$name=" "$SECRETS_FILE"; then
        value="$(new_secret "$name")" || fail "$name could not be made."
        echo "$name=$value" >>"$SECRETS_FILE"
      fi
    done
  fi
  if [ -e "$SECRETS_FILE" ]; then
    set -a
    # shellcheck disable=SC1090  # a file of ours, made above
    . "$SECRETS_FILE"
    set +a
  fi
}
