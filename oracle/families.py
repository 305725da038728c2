#!/usr/bin/env python3
"""Writes the golden models of crates/model/tests/families: a small random model of every family and
flag, as transformers saves it, with the logits that transformers computes; and the same models as
llama.cpp's own converter writes them.

Usage: families.py OUT_DIR [LLAMA_CPP_DIR]        needs torch, transformers, safetensors

LLAMA_CPP_DIR is llama.cpp's source (for `conversion/` and `gguf-py/`); without it no GGUF is written.
Weights are rounded to bfloat16 and saved so; logits are computed from the rounded weights in float32
on one thread.
"""
import json
import shutil
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

BASE = dict(vocab_size=64, hidden_size=48, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=96)
FALCON = dict(vocab_size=64, hidden_size=48, num_hidden_layers=2, num_attention_heads=6,
              ffn_hidden_size=192, max_position_embeddings=96)
LLAMA3 = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
              high_freq_factor=4.0, original_max_position_embeddings=64)
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=24)
LINEAR = dict(rope_type="linear", rope_theta=10000.0, factor=2.0)
GEMMA = dict(BASE, head_dim=16, sliding_window=8, query_pre_attn_scalar=24, num_hidden_layers=3)
TYPES = ["sliding_attention", "sliding_attention", "full_attention"]

# name: (config class, settings, whether llama.cpp computes the same)
CASES = {
    "llama": ("LlamaConfig", dict(BASE, tie_word_embeddings=False), True),
    "llama3": ("LlamaConfig", dict(BASE, rope_parameters=LLAMA3, tie_word_embeddings=True, head_dim=16), True),
    "llama_linear_biases": ("LlamaConfig", dict(BASE, rope_parameters=LINEAR, attention_bias=True, mlp_bias=True), False),
    "mistral_window": ("MistralConfig", dict(BASE, sliding_window=8, rope_parameters=dict(rope_type="default", rope_theta=1e6)), False),
    "falcon_7b": ("FalconConfig", dict(FALCON, multi_query=True, parallel_attn=True, num_kv_heads=1), True),
    "falcon_40b": ("FalconConfig", dict(FALCON, new_decoder_architecture=True, num_kv_heads=2), True),
    "falcon_11b": ("FalconConfig", dict(FALCON, new_decoder_architecture=True, num_kv_heads=3, num_ln_in_parallel_attn=1, tie_word_embeddings=False), False),
    "falcon_rw": ("FalconConfig", dict(FALCON, multi_query=False, parallel_attn=False, alibi=True, bias=True), False),
    "smollm3": ("SmolLM3Config", dict(BASE, num_hidden_layers=4, pad_token_id=0), True),
    "qwen2": ("Qwen2Config", dict(BASE, tie_word_embeddings=True), True),
    "qwen2_yarn_window": ("Qwen2Config", dict(BASE, rope_parameters=YARN, use_sliding_window=True, sliding_window=8, max_window_layers=1), False),
    "qwen3": ("Qwen3Config", dict(BASE, head_dim=16, tie_word_embeddings=False), True),
    "gemma2": ("Gemma2Config", dict(GEMMA, num_hidden_layers=2, query_pre_attn_scalar=16, attn_logit_softcapping=3.0, final_logit_softcapping=2.0), True),
    "gemma3": ("Gemma3TextConfig", dict(GEMMA, layer_types=TYPES, rope_parameters={
        "full_attention": dict(rope_type="linear", rope_theta=1e6, factor=8.0),
        "sliding_attention": dict(rope_type="default", rope_theta=1e4)}), False),
    "gemma3_plain": ("Gemma3TextConfig", dict(GEMMA, num_hidden_layers=7, query_pre_attn_scalar=16, intermediate_size=32), True),
}
TOKENS = 40


def randomise(model, seed):
    """Norms around their neutral value, biases small, matrices so that activations stay near 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.dim() == 2:
                scale = 1.0 if "emb" in name else 1.4
                p.copy_(noise * scale / p.shape[1] ** 0.5)
            elif "norm" in name or "ln_" in name:
                neutral = 0.0 if "bias" in name or "Gemma" in type(model).__name__ else 1.0
                p.copy_(neutral + 0.2 * noise)
            else:
                p.copy_(0.3 * noise)
            p.copy_(p.bfloat16().float())


def version_4(config):
    """The same config as transformers 4 spells it."""
    config = dict(config)
    config["torch_dtype"] = config.pop("dtype", "bfloat16")
    rope = config.pop("rope_parameters", None) or {}
    if "full_attention" in rope:
        full, local = rope["full_attention"], rope["sliding_attention"]
        config.update(rope_theta=full["rope_theta"], rope_local_base_freq=local["rope_theta"])
        if full["rope_type"] != "default":
            config["rope_scaling"] = {k: v for k, v in full.items() if k != "rope_theta"}
        config["sliding_window_pattern"] = 3 if config["num_hidden_layers"] == 3 else 6
        del config["layer_types"]
        return config
    if "rope_theta" in rope:
        config["rope_theta"] = rope.pop("rope_theta")
    if rope.get("rope_type", "default") != "default":
        if rope["rope_type"] == "linear":
            rope["type"] = rope.pop("rope_type")
        config["rope_scaling"] = rope
    if config["model_type"] == "falcon" and config["num_kv_heads"] == 1:
        config["num_kv_heads"] = config["num_attention_heads"]  # ignored, and so saved by some
    if config["model_type"] == "falcon" and config["new_decoder_architecture"]:
        config["model_type"] = "RefinedWeb"
        for new, old in [("num_hidden_layers", "n_layer"), ("num_attention_heads", "n_head"), ("num_kv_heads", "n_head_kv")]:
            config[old] = config.pop(new)
        del config["new_decoder_architecture"]
    return config


def make(name, out, seed):
    kind, settings, _ = CASES[name]
    config = getattr(transformers, kind)(**settings)
    # Falcon's eager attention adds ALiBi twice: in the mask, and once more.
    attention = "sdpa" if settings.get("alibi") else "eager"
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).float().eval()
    randomise(model, seed)
    tokens = torch.tensor([[(i * 7 + i * i * 3 + seed) % 64 for i in range(TOKENS)]])
    with torch.no_grad():
        logits = model(input_ids=tokens, use_cache=False).logits[0]
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    shard = "60KB" if name == "llama_linear_biases" else "5GB"
    model.bfloat16().save_pretrained(folder, max_shard_size=shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    saved = json.loads((folder / "config.json").read_text())
    (folder / "config.v4.json").write_text(json.dumps(version_4(saved), indent=1) + "\n")
    save_file({"tokens": tokens[0].int(), "logits": logits.contiguous()}, folder / "golden.safetensors")
    print(name, "largest logit", float(logits.abs().max()))


def convert(name, out, source):
    """The model in llama.cpp's format, by its own converter, but without a vocabulary."""
    sys.path[:0] = [str(source), str(source / "gguf-py")]
    import gguf
    from conversion import get_model_class
    from conversion.base import ModelBase, ModelType, get_model_architecture

    folder = out / name
    vocab = folder / "tokenizer.json"
    vocab.write_text(json.dumps(dict(model=dict(vocab={str(i): i for i in range(64)}), added_tokens=[])))
    hparams = ModelBase.load_hparams(folder, False)
    base = get_model_class(get_model_architecture(hparams, ModelType.TEXT))

    class Converter(base):
        model_arch = base.model_arch

        def set_vocab(self):
            self.gguf_writer.add_tokenizer_model("no_vocab")
            self.gguf_writer.add_vocab_size(64)

    with torch.inference_mode():
        Converter(folder, gguf.LlamaFileType.MOSTLY_BF16, out / f"{name}.gguf", eager=True).write()
    vocab.unlink()


def main():
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    source = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    for seed, name in enumerate(CASES, 1):
        make(name, out, seed)
        if source and CASES[name][2]:
            convert(name, out, source)
    versions = dict(torch=torch.__version__.split("+")[0], transformers=transformers.__version__)
    (out / "made_with.json").write_text(json.dumps(versions) + "\n")


if __name__ == "__main__":
    main()
