#!/usr/bin/env bash
# Makes the demo models and their data from nothing: make.sh [SEED] [OUT]     about 20 minutes on 2 cores, 16 of them training.
# Needs Python >= 3.11 with requirements.txt and llama.cpp's llama-imatrix, llama-quantize and llama-perplexity (LLAMA_TOOLS names their
# folder; default: the PATH). Everything lands in OUT (default: build/SEED); PUBLISH=1 then replaces the repository's files with it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) seed=${1:-1}
out=$(realpath -m "${2:-$here/build/$seed}") python=${PYTHON:-python3}
say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }
run() { say "$*"; "$python" -B "$here/$@"; }
export JAX_PLATFORMS=cpu
mkdir -p "$out"
run world.py "$seed" "$out"
run tokenizer.py "$seed" "$out"
run train.py "$seed" "$out" | tee "$out/train.log"
for v in v1 v2; do
  run export.py "$seed" "$out" $v
  say "importance matrix of $v"
  # relative names: the matrix records the name of its text
  (cd "$out" && "${LLAMA_TOOLS:+$LLAMA_TOOLS/}llama-imatrix" -m demo-$v-F16.gguf -f calibration.txt -o demo-$v.imatrix.gguf -c 512 -t 2 >imatrix-$v.log 2>&1)
done
run ladder.py "$out"
if [ -n "${PUBLISH:-}" ]; then run publish.py "$seed" "$out"; fi
say done
