#!/usr/bin/env bash
# Makes recordings with print in them, and the guide's table of how well frames are chosen for questions about them: target/ask/.
#   scripts/ask_table.sh [RECORDINGS=24] [TEXT-ENCODER]
# With a text encoder (docs/src/models.md says how to get one), labels are matched by meaning, too. Where earmark-learning is built, a
# localizer head learns from the other half of the recordings.
# The answers come from tests/answerer.py, which reads the frames with tesseract. What was asked once is not asked again.
set -euo pipefail
cd "$(dirname "$0")/.."

recordings=${1:-24}
text=${2:-}
python=${EARMARK_PYTHON:-models/built/venv/bin/python}
earmark=${CARGO_TARGET_DIR:-target}/release/earmark
out=${CARGO_TARGET_DIR:-target}/ask
say() { printf 'ask-table: %s\n' "$*" >&2; }
command -v tesseract >/dev/null || { say "tesseract is missing: scripts/setup.sh tests installs it"; exit 1; }

mkdir -p "$out/plans" "$out/features"
if [ "$(cat "$out/made" 2>/dev/null)" != "$recordings $(sha256sum tests/printed.py)" ]; then
  say "making $recordings recordings"
  "$python" tests/printed.py "$out" --recordings "$recordings"
  rm -f "$out"/plans/* "$out"/features/*
  for video in "$out"/videos/*.mp4; do
    name=$(basename "$video" .mp4)
    "$earmark" plan pipelines/gated.yaml --quiet --input "$video" --output "$out/plans/$name.jsonl" >/dev/null
  done
  echo "$recordings $(sha256sum tests/printed.py)" >"$out/made"
fi

coproc ANSWERER { exec "$python" tests/answerer.py; }
trap 'kill "$ANSWERER_PID" 2>/dev/null || true' EXIT
read -r _ port <&"${ANSWERER[0]}"

table() { # table NAME ARGUMENTS...
  say "$1"
  "$earmark" eval qa --questions "$out/questions.jsonl" --videos "$out/videos" --half held-out \
    --endpoint "http://127.0.0.1:$port/v1" --model tests/answerer.py --calls "$out/calls" --answers "$out/$1.jsonl" "${@:2}" | tee "$out/$1.txt"
}
# What is asked of the strategies: the same tokens for all, four frames at 448 px.
table equal --features "$out/plans"
# And how many tokens uniform needs.
table more --features "$out/plans" --sampling uniform,matched --prompt plain,sound --tokens 784,3136,6272,25088
# Sixteen times the frames at 112 px: they cost the same, and nobody can read them.
table low --features "$out/plans" --sampling uniform,matched --prompt plain --tokens 3136 --tier low
[ -z "$text" ] || table meaning --features "$out/plans" --sampling uniform,matched,aks,bolt --text-encoder "$text"
# Chosen by a head that learned from the answers to the other half, which needs features.
if [ -x "${earmark%/*}/earmark-learning" ]; then
  for video in "$out"/videos/*.mp4; do
    name=$(basename "$video" .mp4)
    [ -e "$out/features/$name.h5" ] || "$earmark" run pipelines/gated.yaml --quiet --input "$video" --plan "$out/plans/$name.jsonl" --output "$out/features/$name.h5" >/dev/null
  done
  say "localizer head"
  "$earmark" fit-localizer --questions "$out/questions.jsonl" --features "$out/features" --videos "$out/videos" --half dev --overwrite \
    --endpoint "http://127.0.0.1:$port/v1" --model tests/answerer.py --calls "$out/calls" --output "$out/head.safetensors" | tee "$out/fit.txt"
  table head --features "$out/features" --sampling matched,localizer-head --localizer-head "$out/head.safetensors" --prompt plain
else
  say "no localizer head: earmark-learning is not built (make learning)"
fi
say "the tables are in $out"
