#!/usr/bin/env python3
"""Writes the PyTorch golden files of crates/model/tests/golden: for each config logits, loss,
every gradient, and the parameters after five AdamW steps with clipping.

Usage: golden.py OUT_DIR          needs torch, transformers, safetensors (CPU is enough)

Weights and tokens follow from a formula that crates/model/tests/golden.rs repeats, so only
results are stored. Everything is float32, eager attention, one thread.
"""
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

CONFIGS = {
    # name: vocab, dim, layers, heads, kv_heads, head_dim, ffn, theta, tied, batch, seq
    "odd_tied": (37, 48, 1, 4, 4, 12, 40, 10000.0, True, 3, 7),
    "grouped_untied": (41, 24, 2, 6, 2, 8, 30, 10000.0, False, 2, 9),
    "multi_query_tied": (29, 20, 2, 5, 1, 6, 17, 500.0, True, 3, 5),
    "multi_query_untied": (33, 18, 2, 3, 1, 10, 21, 1e6, False, 1, 13),
}
LR, BETAS, EPS, DECAY, CLIP, STEPS = 1e-2, (0.9, 0.95), 1e-8, 0.1, 0.5, 5


def hashed(n, salt):
    """n numbers in [-1, 1), exact in float32: 24 bits of a multiplicative hash."""
    i = torch.arange(n, dtype=torch.int64) + salt * 1000003
    x = (i * 2654435761) % (1 << 32)
    x = ((x ^ (x >> 15)) * 2246822519) % (1 << 32)
    return ((x >> 8).double() / (1 << 23) - 1.0).float()


def fill(model):
    """Norms 1 + h/4, matrices h/4, in the order of the parameter list."""
    with torch.no_grad():
        for salt, (_, p) in enumerate(model.named_parameters()):
            h = hashed(p.numel(), salt).view_as(p) * 0.25
            p.copy_(h + 1.0 if p.dim() == 1 else h)


def run(name, out):
    vocab, dim, layers, heads, kv, head_dim, ffn, theta, tied, batch, seq = CONFIGS[name]
    config = LlamaConfig(
        vocab_size=vocab, hidden_size=dim, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv, head_dim=head_dim, intermediate_size=ffn, rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": theta}, tie_word_embeddings=tied,
        max_position_embeddings=32, attn_implementation="eager", use_cache=False)
    model = LlamaForCausalLM(config).float()
    fill(model)
    model.train()
    count = batch * (seq + 1)
    tokens = torch.tensor([(i * 7 + i * i * 3) % vocab for i in range(count)]).view(batch, seq + 1)
    decayed = [p for p in model.parameters() if p.dim() == 2]
    plain = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS)
    tensors, losses, norms = {}, [], []
    for step in range(STEPS):
        optimizer.zero_grad()
        logits = model(input_ids=tokens[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, vocab), tokens[:, 1:].reshape(-1))
        loss.backward()
        if step == 0:
            tensors["logits"] = logits.detach().clone()
            for key, p in model.named_parameters():
                tensors["grad." + key] = p.grad.detach().clone()
        losses.append(loss.item())
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP).item())
        optimizer.step()
    for key, p in model.named_parameters():
        tensors["after." + key] = p.detach().clone()
    save_file({k: v.contiguous() for k, v in tensors.items()}, out / f"{name}.safetensors")
    return dict(
        vocab=vocab, dim=dim, layers=layers, heads=heads, kv_heads=kv, head_dim=head_dim, ffn=ffn,
        norm_eps=1e-5, rope_theta=theta, tied=tied, context=32, batch=batch, seq=seq,
        losses=losses, norms=norms, order=[key for key, _ in model.named_parameters()])


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    cases = {name: run(name, out) for name in CONFIGS}
    import transformers
    document = dict(
        torch=torch.__version__.split("+")[0], transformers=transformers.__version__,
        lr=LR, betas=BETAS, eps=EPS, weight_decay=DECAY, clip=CLIP, steps=STEPS, cases=cases)
    (out / "golden.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
