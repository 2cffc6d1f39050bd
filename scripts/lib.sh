# What the scripts of this folder share: sourced, not run. Paths, progress lines, root rights, processes that we started.
# shellcheck shell=bash

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
run=$top/.run
# The one registry of a machine: Docker's mirror entry names this address.
registry=127.0.0.1:5000

say() { printf '==> %s\n' "$*"; }
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# Runs a command as root: directly, or by sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "'$*' needs root: run this as root, or install sudo"
  fi
}

# ours NAME PROGRAM: prints the pid in .run/NAME.pid if that process lives and is PROGRAM. A pid file that outlived
# its process (a power cut, a recycled pid) counts as nothing.
ours() {
  local pid
  pid=$(cat "$run/$1.pid" 2>/dev/null) || return 1
  [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ] && printf '%s' "$pid"
}

# stop_ours NAME PROGRAM: ends what we started, and only that; waits until it is gone.
stop_ours() {
  local pid
  pid=$(ours "$1" "$2") || {
    say "$1: not started by this checkout, nothing to stop"
    return 0
  }
  as_root kill -TERM "$pid"
  # tail wakes up at the end of the process; it needs no relation to it.
  timeout 60 tail --pid="$pid" -f /dev/null || die "$1 (pid $pid) did not end within 60 s"
  as_root rm -f "$run/$1.pid"
  say "$1 stopped"
}

# borrow_docker IMAGE...: the engine, the registry and these images (all of them without a name) for as long as the script runs. What ran
# before is left running at its end.
borrow_docker() {
  had_engine=$(ours dockerd dockerd || true)
  had_registry=$(ours registry docker-registry || true)
  trap return_docker EXIT
  scripts/docker-engine up
  scripts/registry up
  examples/images/build "$@"
}

return_docker() {
  local code=$?
  [ -n "$had_registry" ] || scripts/registry down
  [ -n "$had_engine" ] || scripts/docker-engine down
  exit $code
}

# wait_for SECONDS WHAT COMMAND...: polls COMMAND until it succeeds.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.1
  done
  say "$what"
}
