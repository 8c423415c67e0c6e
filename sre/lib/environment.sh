# shellcheck shell=bash
# Sourced by the scripts beside it: finds a Python and makes the environment.

# Ctrl-C ends the script. Without this, bash goes on with the next command when the one
# that was interrupted has ended of its own accord, as pytest does.
trap 'exit 130' INT

# Print the first Python that is new enough; $PYTHON names one of your own.
find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return 0
    fi
  done
  echo "mirrorsite needs Python 3.11 or newer with venv; install it, or set PYTHON to one." >&2
  return 1
}

# Install the given requirements files into .venv, unless they are there already.
ensure_environment() {
  local python
  python="$(find_python)" || return 2
  "$python" sre/lib/install.py "$@"
}

# Install requirements-NAME.txt into an environment of its own, .venv-NAME.
ensure_separate_environment() {
  local name="$1" stamp
  stamp=".venv-$name/.$(cksum <"requirements-$name.txt" | tr ' ' '-')"
  if [ ! -e "$stamp" ]; then
    echo "Installing requirements-$name.txt into .venv-$name …" >&2
    rm -rf ".venv-$name"
    .venv/bin/python -m venv ".venv-$name" || return 2
    ".venv-$name/bin/python" -m pip install --quiet --disable-pip-version-check \
      --require-hashes --no-deps --requirement "requirements-$name.txt" || return 2
    touch "$stamp"
  fi
}
