#!/usr/bin/env python3
"""Compares what understory with f32 inputs and transformers say about a real text, for one GGUF:
transformers reads the file by itself and computes in float32 from the dequantized weights.

Usage: real_check.py MODEL.gguf TEXT EXAMPLES [--tokens 2048]    needs torch, transformers,
gguf and accelerate

EXAMPLES is the folder of the model crate's built examples (`tokens`, `log_probs`).
Exit status: 0 if log-probabilities are no more than 2e-3 apart and 1e-4 on average.
"""
import argparse
import json
import math
import subprocess
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

LARGEST, MEAN = 2e-3, 1e-4


def said(command, text=None):
    return subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout


def ids_of(arguments):
    line = json.dumps({"text": Path(arguments.text).read_text(encoding="utf-8")}) + "\n"
    return json.loads(said([f"{arguments.examples}/tokens", arguments.model], line))["ids"]


def ours(arguments, ids):
    with tempfile.NamedTemporaryFile("w", suffix=".ids") as file:
        file.write(" ".join(map(str, ids)))
        file.flush()
        lines = said([f"{arguments.examples}/log_probs", arguments.model, file.name, "--f32"])
    return [float(x) for x in lines.splitlines()[0].split()[1:]]


def theirs(arguments, ids):
    path = Path(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.inference_mode():
        hidden = model.base_model(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0]
        found = []
        # Some rows at a time: the logits of all would be gigabytes.
        for start in range(0, len(ids) - 1, 256):
            logits = model.lm_head(hidden[start:start + 256]).double().log_softmax(-1)
            following = torch.tensor(ids[start + 1:start + 257])
            found += logits[:len(following)].gather(1, following[:, None])[:, 0].tolist()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("examples")
    parser.add_argument("--tokens", type=int, default=2048)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    ids = ids_of(arguments)[:arguments.tokens]
    a, b = ours(arguments, ids), theirs(arguments, ids)
    apart = sorted(abs(x - y) for x, y in zip(a, b, strict=True))
    mean = sum(apart) / len(apart)
    print(f"{len(apart)} tokens: log-probabilities apart by {mean:.2e} on average, {apart[-1]:.2e} at most; "
          f"perplexity {math.exp(-sum(a) / len(a)):.5f} and {math.exp(-sum(b) / len(b)):.5f}")
    good = apart[-1] <= LARGEST and mean <= MEAN
    print(f"{int(good)} passed, {int(not good)} failed")
    raise SystemExit(not good)


if __name__ == "__main__":
    main()
