#!/usr/bin/env bash
# Make a base image from Debian for a machine that reaches no registry of images.
#
# Prints the image's name; exit status 1 where the Dockerfile's own can be had or none can
# be made. Needs root on Debian; installs podman and debootstrap when they are missing.
# Debian's release and Python's minor version are those of the Dockerfile's base image.
set -euo pipefail
cd "$(dirname "$0")/../.."
. sre/lib/environment.sh
own="$(sed -n 's/^ARG PYTHON_IMAGE=//p' Dockerfile)"
name=localhost/mirrorsite-base:trixie
[ "$(id -u)" -eq 0 ] || exit 1
ensure_program podman podman runc >/dev/null || exit 1
if { podman image exists "$own" || timeout 60 podman pull --quiet "$own"; } >/dev/null; then
  exit 1
fi
if ! podman image exists "$name"; then
  ensure_program debootstrap debootstrap >&2 || exit 1
  root="$(mktemp -d)"
  trap 'rm -rf "$root" "$root.log"' EXIT
  debootstrap --variant=minbase --include=python-is-python3,python3-venv,ca-certificates \
    trixie "$root" >"$root.log" 2>&1 || { tail -n 5 "$root.log" >&2; exit 1; }
  # What the official slim images leave out as well.
  rm -rf "$root"/usr/share/{doc,man,info,locale} "$root"/var/cache/apt/* \
    "$root"/var/lib/apt/lists/*
  tar -C "$root" -c . | podman import - "$name" >/dev/null
fi
echo "$name"
