# shellcheck shell=sh
# Sourced by the jobs of terraform/.gitlab-ci.yml: turns the pipeline's variables into
# what Terraform and its providers read. POSIX, as the image has no bash.

# Give Terraform the variable $1 the value $2; without a value it keeps its default.
_give() {
  if [ -n "$2" ]; then
    export "TF_VAR_$1=$2"
  fi
}

# --- AWS: a role by the job's own token, or a static key, or nothing ---------------------

if [ -n "${AWS_ROLE_ARN:-}" ]; then
  AWS_WEB_IDENTITY_TOKEN_FILE="$(mktemp)"
  printf '%s' "$AWS_ID_TOKEN" >"$AWS_WEB_IDENTITY_TOKEN_FILE"
  AWS_ROLE_SESSION_NAME="gitlab-$CI_PROJECT_ID-$CI_JOB_ID"
  export AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE AWS_ROLE_SESSION_NAME
  # A static key would be taken before the role.
  unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
  echo "AWS: role $AWS_ROLE_ARN"
else
  unset AWS_ROLE_ARN
  if [ -n "${AWS_ACCESS_KEY_ID:-}" ]; then
    echo "AWS: static key"
  else
    echo "AWS: none (object_store = cluster)"
  fi
fi
_give region "${AWS_DEFAULT_REGION:-}"

# --- Cluster: EKS by the job's role, else the agent's KUBECONFIG -------------------------

if [ -n "${EKS_CLUSTER:-}" ]; then
  # Not the agent's: its rights are limited to one namespace, and the root `app` creates
  # that namespace and an operator.
  KUBECONFIG="$(mktemp -d)/config"
  KUBE_CTX="$EKS_CLUSTER"
  export KUBECONFIG
  aws eks update-kubeconfig --region "${AWS_DEFAULT_REGION:?set AWS_DEFAULT_REGION to the region of $EKS_CLUSTER}" \
    --name "$EKS_CLUSTER" --alias "$KUBE_CTX" >/dev/null
fi
# The provider does not read KUBECONFIG.
if [ -n "${KUBECONFIG:-}" ]; then
  export KUBE_CONFIG_PATH="$KUBECONFIG" KUBE_CTX
fi

# --- The service ------------------------------------------------------------------------

_give image "${RELEASE_IMAGE:-}"
if [ -n "${CI_DEPLOY_USER:-}" ]; then
  # Never the job's own token: pods are moved, and pull again, long after the job.
  _give registry_server "$CI_REGISTRY"
  _give registry_username "$CI_DEPLOY_USER"
  _give registry_password "$CI_DEPLOY_PASSWORD"
fi
# With the prefix DEPLOY_, because a project's variable takes precedence over a job's: the
# job `test` must never be given the database of a deployment.
_give secret_key "${DEPLOY_SECRET_KEY:-}"
_give audit_signing_key "${DEPLOY_AUDIT_SIGNING_KEY:-}"
_give audit_public_keys "${DEPLOY_AUDIT_PUBLIC_KEYS:-}"
_give postgres_password "${DEPLOY_POSTGRES_PASSWORD:-}"
_give database_url "${DEPLOY_DATABASE_URL:-}"
_give database_ca_bundle "${DEPLOY_DATABASE_CA_BUNDLE:-}"
_give aws_access_key_id "${DEPLOY_STORE_ACCESS_KEY_ID:-}"
_give aws_secret_access_key "${DEPLOY_STORE_SECRET_ACCESS_KEY:-}"
_give secrets_revision "${DEPLOY_SECRETS_REVISION:-}"

# --- State: the bucket when there is one, else GitLab's own store -----------------------

init_backend() {
  if [ -n "${STATE_BUCKET:-}" ]; then
    terraform init \
      -backend-config="bucket=$STATE_BUCKET" \
      -backend-config="key=${STATE_KEY:-mirrorsite/terraform.tfstate}" \
      -backend-config="region=${AWS_DEFAULT_REGION:?set AWS_DEFAULT_REGION to the region of STATE_BUCKET}"
  else
    printf 'terraform {\n  backend "http" {}\n}\n' >backend_override.tf
    TF_HTTP_ADDRESS="$CI_API_V4_URL/projects/$CI_PROJECT_ID/terraform/state/${CI_ENVIRONMENT_NAME:-minikube}"
    export TF_HTTP_ADDRESS
    export TF_HTTP_LOCK_ADDRESS="$TF_HTTP_ADDRESS/lock" TF_HTTP_LOCK_METHOD=POST
    export TF_HTTP_UNLOCK_ADDRESS="$TF_HTTP_ADDRESS/lock" TF_HTTP_UNLOCK_METHOD=DELETE
    export TF_HTTP_USERNAME=gitlab-ci-token TF_HTTP_PASSWORD="$CI_JOB_TOKEN"
    terraform init
  fi
}
