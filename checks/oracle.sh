#!/usr/bin/env bash
# Exports a model of a run and compares it with transformers (PYTHON with torch) and with llama.cpp
# (npm's prebuilt one, or PYTHON's llama-cpp-python): oracle.sh [RUN]
#
# RUN is the folder of a demo or a peer; without one a small model of every family is trained.
# EXAMPLES names the folder of the model crate's built examples; they are built where it is not set.
# MODULES names a folder that has, or may get, node_modules/node-llama-cpp. Each side that is missing
# is `skipped`.
set -euo pipefail
run=${1:+$(realpath "$1")}
if [ -z "$run" ]; then UNDERSTORY=${UNDERSTORY:-none}; fi
. "$(dirname "$0")/lib.sh"
python=${PYTHON:-python3}
example() {
  local name=$1
  shift
  if [ -n "${EXAMPLES:-}" ]; then
    "$EXAMPLES/$name" "$@"
  else
    (cd "$root" && cargo run --release --quiet -p understory-engine --example "$name" -- "$@")
  fi
}

models=()
if [ -z "$run" ]; then
  for family in llama mistral falcon smollm3 qwen2 qwen3 gemma2 gemma3; do
    mkdir "$work/$family"
    example export_oracle "$work/$family" "$family" untied
    models+=("$work/$family/hf" "$work/$family/model.gguf" "$work/$family/expected.json")
  done
else
  hf=$work/hf
  check "exports a Hugging Face folder" understory export "$run" --to hf "$hf"
  check "exports a GGUF" understory export "$run" --to gguf "$work/gguf"
  gguf=$(echo "$work"/gguf/*.gguf)
  example expectation "$hf" "/// Returns the number of" >"$work/expected.json"
  models=("$hf" "$gguf" "$work/expected.json")
fi

if command -v "$python" >/dev/null && "$python" -c 'import torch, transformers' 2>/dev/null; then
  check "transformers agrees" "$python" "$root/oracle/export_check.py" "${models[@]}"
  grep transformers "$work/check.log" || true
else
  echo "skipped: transformers (PYTHON=$python has no torch with transformers)"
fi

modules=${MODULES:-$work/npm}
llama_cpp() {
  command -v node >/dev/null && command -v npm >/dev/null || return 1
  [ -d "$modules/node_modules/node-llama-cpp" ] && return
  [ "$(uname -sm)" = "Linux x86_64" ] || return 1
  npm install --silent --no-save --no-audit --no-fund --omit=optional --ignore-scripts \
    --prefix "$modules" node-llama-cpp@3 @node-llama-cpp/linux-x64@3 >"$work/npm.log" 2>&1
}
if llama_cpp; then
  export CHECK_MODULES=$modules
  for ((i = 0; i < ${#models[@]}; i += 3)); do
    name=$(basename "$(dirname "${models[i]}")")
    [ -n "$run" ] && name="the run's model"
    check "llama.cpp agrees: $name" node "$root/checks/llama/check.mjs" "${models[i + 1]}" "${models[i + 2]}"
    grep 'largest' "$work/check.log" || true
  done
else
  echo "skipped: llama.cpp (no Node.js with npm, or npm could not install node-llama-cpp)"
fi
finish
