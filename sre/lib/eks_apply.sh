#!/usr/bin/env bash
# Apply terraform/eks to moto: see the usage.
#
# The roots in their order, each reading what the one before handed over; the second
# plan of each must be empty. What moto does not know is laid over by moto_gaps/.
set -euo pipefail
IFS=$'\n\t'

if (($# != 2)); then
  cat >&2 <<'USAGE'
Usage: sre/lib/eks_apply.sh TREE PYTHON

Applies TREE/eks/* against a moto server of its own; TREE is a copy of terraform/ that
this may change, PYTHON an interpreter with moto. Started by sre/terraform-check, which
has said to Terraform where its providers are. Writes the JSON of each state beside it.
USAGE
  exit 2
fi
tree=$1
python=$2
lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
MOTO_IAM_LOAD_MANAGED_POLICIES=true "${python%/*}/moto_server" -H 127.0.0.1 -p "$port" >"$tree/moto.log" 2>&1 &
moto=$!
trap 'kill "$moto" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM
export AWS_ENDPOINT_URL=http://127.0.0.1:$port
export AWS_ENDPOINT_URL_S3=$AWS_ENDPOINT_URL
export AWS_ACCESS_KEY_ID=testing AWS_SECRET_ACCESS_KEY=testing
up() { curl -sf -o /dev/null "$AWS_ENDPOINT_URL/moto-api/"; }
# Minutes, should the machine be busy; not when it has ended.
for _ in {1..900}; do
  up && break
  kill -0 "$moto" 2>/dev/null || break
  sleep 0.2
done
up || { cat "$tree/moto.log"; exit 1; }

apply() { # ROOT ARGS...
  local root=$1 dir=$tree/eks/$1 code=0 began=$SECONDS
  shift
  local arguments=(-no-color -input=false -var-file=vars/staging.tfvars.json "$@")
  cp "$lib/moto_gaps/$root.tf" "$dir/moto_override.tf"
  printf 'terraform {\n  backend "local" {}\n}\n' >"$dir/backend_override.tf"
  # Without the servers that are attached: only then are version constraints checked.
  env -u TF_REATTACH_PROVIDERS terraform -chdir="$dir" init -no-color -input=false >"$dir/init.log" 2>&1 ||
    { cat "$dir/init.log"; return 1; }
  terraform -chdir="$dir" plan "${arguments[@]}" -out=check.tfplan >"$dir/plan.log" 2>&1 || { cat "$dir/plan.log"; return 1; }
  terraform -chdir="$dir" apply -no-color -input=false check.tfplan >"$dir/apply.log" 2>&1 || { cat "$dir/apply.log"; return 1; }
  terraform -chdir="$dir" plan "${arguments[@]}" -detailed-exitcode >"$dir/second-plan.log" 2>&1 || code=$?
  if ((code)); then
    cat "$dir/second-plan.log"
    return 1
  fi
  terraform -chdir="$dir" show -json >"$dir/state.json"
  printf 'eks/%s: %s second plan empty (%s s)\n' "$root" "$(grep -m 1 '^Apply complete' "$dir/apply.log")" "$((SECONDS - began))"
}

for file in "$lib"/moto_gaps/*.tf; do
  sed -n "s|^# not in moto: |not in moto, eks/$(basename "$file" .tf): |p" "$file"
done
failed=0
# What another root waits for stands first; the runner goes along with the database,
# which takes minutes of waiting and no work.
apply pipeline -var=project_path=group/mirrorsite -var=state_bucket_name=mirrorsite-check-state || exit 1
apply network || exit 1
apply runner -var=manager_image=example.org/manager:1 -var=worker_image=example.org/worker:1 >"$tree/runner.out" 2>&1 &
runner=$!
if ! { apply cluster &&
  apply data -var=events_topic_arn=arn:aws:sns:eu-west-1:123456789012:check && apply app -var=image=example.org/mirrorsite:1.0.0; }; then failed=1; fi
wait "$runner" || failed=1
cat "$tree/runner.out"
exit "$failed"
