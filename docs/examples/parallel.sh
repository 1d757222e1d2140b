#!/usr/bin/env bash
# A benchmark file in shards by GNU parallel, on this machine or on several, and their run.
#
#   parallel.sh FILE [SHARDS=4] [OUT=reports/shards]
#
# JOBS: shards at a time (default 2); let `threads` in FILE leave each its cores. For other machines name them in PARALLEL
# ("--sshloginfile hosts --workdir ."), with the folder in the same place on all of them. The same command goes on where it was stopped.
set -euo pipefail
file=${1:?a benchmark file} shards=${2:-4} out=${3:-reports/shards}

# A shard that ends early, or with failed cells, ends no other: `merge` says what is missing.
parallel --quote --line-buffer --tag --jobs "${JOBS:-2}" \
  gguf-bench run "$file" --shard "{}/$shards" --out "$out/{}" --plain ::: $(seq "$shards") ||
  echo "$? of $shards shards have failed cells or ended early" >&2

gguf-bench merge "$out"/[0-9]* --out "$out/all"
