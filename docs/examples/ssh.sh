#!/usr/bin/env bash
# A benchmark file in shards, one for each machine, by nothing but ssh, and their run.
#
#   ssh.sh FILE OUT HOST…
#
# FOLDER: where gguf-bench runs there (default the home folder); FILE and its models are in the same place in it. A machine of half the speed may
# be left out, or one of twice the speed named twice.
set -euo pipefail
file=${1:?a benchmark file} out=${2:?a folder} hosts=("${@:3}")
shards=${#hosts[@]}

measure() { # PART HOST
  local command
  printf -v command '%q ' gguf-bench run "$file" --shard "$1/$shards" --out "$out/$1" --plain
  ssh "$2" "cd ${FOLDER:-.} && $command" || echo "$2, shard $1: exit code $?" >&2
  mkdir -p "$out"
  ssh "$2" "cd ${FOLDER:-.} && tar -c $(printf %q "$out/$1")" | tar -x
}

for i in "${!hosts[@]}"; do
  measure $((i + 1)) "${hosts[i]}" &
done
wait
gguf-bench merge "$out"/[0-9]* --out "$out/all"
