# shellcheck shell=bash
# Sourced by the scripts beside it: prints their help, finds a Python, makes the environment.

# Print the comment at the top of the script.
usage() {
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "sre/${0##*/}"
}

wrong_usage() {
  usage >&2
  exit 2
}

case "${1:-}" in
  -h | --help) usage; exit 0 ;;
esac

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

# Install a requirements file into .venv, unless it is installed already.
ensure_environment() {
  install_into .venv "$1"
}

# install_into DIRECTORY FILE: the same with another virtual environment. The file counts
# as installed when the one installed last has all its pins.
install_into() {
  local directory="$1" file="$2" python="$1/bin/python" installed="$1/installed.txt"
  local options=(--disable-pip-version-check --progress-bar=off) found
  if [ -x "$python" ] && [ -e "$installed" ] &&
    ! grep -qvxFf "$installed" <(grep -F == "$file"); then
    return 0
  fi
  if ! "$python" -m pip --version >/dev/null 2>&1; then # none, or cut short
    found="$(find_python)" || return 2
    echo "Creating $directory with $found …" >&2
    "$found" -m venv --clear "$directory" >&2 || return 2
  fi
  echo "Installing $file …" >&2
  if grep -q -- --hash= "$file"; then
    options+=(--require-hashes --no-deps)
  fi
  "$python" -m pip install "${options[@]}" --requirement "$file" |
    { grep --line-buffered -E '^(Collecting|Installing)' >&2 || true; } || return 1
  cp "$file" "$installed"
}

# ensure_program PROGRAM PACKAGE …: as root on Debian, install the packages that hold
# PROGRAM unless it is on the path. Fails, with a message, where it still is not.
ensure_program() {
  local program="$1" log
  shift
  command -v "$program" >/dev/null 2>&1 && return 0
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "$program is not installed; only root on Debian installs it here." >&2
    return 1
  fi
  echo "Installing $* for $program …" >&2
  log="$(mktemp)"
  # If the lists cannot be fetched, earlier ones may suffice. With RUNLEVEL=1, Debian does
  # not start the servers that it installs: the tests start their own.
  apt-get -q -o DPkg::Lock::Timeout=120 update >"$log" 2>&1 || true
  if RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 \
    install --no-install-recommends "$@" >>"$log" 2>&1; then
    rm -f "$log"
  else
    tail -n 5 "$log" >&2
    rm -f "$log"
    return 1
  fi
  command -v "$program" >/dev/null 2>&1
}

# Print what is left out, one line each, in a frame that cannot be overlooked; end with 77.
skip() {
  local frame="************************************************************"
  { echo "$frame"; printf 'SKIPPED: %s\n' "$@"; echo "$frame"; } >&2
  exit 77
}

# with_service FUNCTION …: call it with URL and TOKEN of a new service.
with_service() {
  export -f "${1?}"
  .venv/bin/python -m sre.lib.stack bash -euc '"$@"' "$0" "$@"
}
