#!/usr/bin/env python3
"""Writes what PyTorch computes for training the models of crates/model/tests/families: the loss of
the golden tokens, and of every gradient its norm and some of its elements.

Usage: family_gradients.py FAMILIES_DIR           needs torch, transformers, safetensors

Everything is float32 on one thread, from the weights as they are saved. Gradients are of the mean
loss over all but the last token. Of a tensor of n elements those at i * ceil(n / 64) are kept.
"""
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

KEPT = 64


def run(folder):
    config = json.loads((folder / "config.json").read_text())
    # Falcon's eager attention adds ALiBi twice: in the mask, and once more.
    attention = "sdpa" if config.get("alibi") else "eager"
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation=attention).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.Embedding):
            module.padding_idx = None  # else the padding token's row has no gradient
    tokens = load_file(folder / "golden.safetensors")["tokens"].long()[None]
    logits = model(input_ids=tokens[:, :-1], use_cache=False).logits[0]
    loss = torch.nn.functional.cross_entropy(logits.float(), tokens[0, 1:])
    loss.backward()
    kept, norms = {}, {}
    for name, p in model.named_parameters():
        flat = p.grad.flatten()
        step = -(-flat.numel() // KEPT)
        kept[name] = flat[::step].contiguous()
        norms[name] = flat.double().norm().item()
    save_file(kept, folder / "gradients.safetensors", metadata={
        "loss": repr(loss.item()), "norms": json.dumps(norms)})
    print(folder.name, loss.item(), len(kept))


def main():
    torch.set_num_threads(1)
    for folder in sorted(Path(sys.argv[1]).iterdir()):
        if (folder / "golden.safetensors").exists():
            run(folder)


if __name__ == "__main__":
    main()
