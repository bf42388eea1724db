#!/usr/bin/env bash
# Runs a command quietly: says what is done and for how long, keeps what it prints in a log, and shows the log's end if it fails.
#   scripts/step.sh NAME "what it does" COMMAND...     the log is target/log/NAME.log; with V=1 everything is shown instead
set -euo pipefail
name=$1 what=$2
shift 2

say() { printf '%-9s %s\n' "$name" "$*" >&2; }

if [ "${V:-}" = 1 ]; then
  say "$what"
  exec "$@"
fi

# for_people SECONDS: "3 min 5 s".
for_people() { if [ "$1" -lt 60 ]; then echo "$1 s"; else echo "$(($1 / 60)) min $(($1 % 60)) s"; fi; }

here=$(cd "$(dirname "$0")/.." && pwd)
log=${CARGO_TARGET_DIR:-$here/target}/log/$name.log
mkdir -p "$(dirname "$log")"
: >"$log"
say "$what (log: ${log#"$PWD"/})"

# A sign of life, without the descriptors of this shell: who reads them waits for nobody but the command.
begin=$SECONDS
(
  exec 9>&-
  while sleep 30 </dev/null >/dev/null 2>&1; do
    crates=$(grep -c '^ *Compiling ' "$log" || true)
    say "$(for_people $((SECONDS - begin)))$([ "$crates" = 0 ] || echo ", $crates crates begun")"
  done
) &
alive=$!
trap 'kill $alive 2>/dev/null || true' EXIT

status=0
"$@" >>"$log" 2>&1 </dev/null || status=$?
took=$(for_people $((SECONDS - begin)))
if [ $status -ne 0 ]; then
  tail -n 40 "$log" >&2
  say "failed after $took; all of what it printed is in $log"
  exit $status
fi
say "done in $took"
