#!/usr/bin/env python3
"""Compares exported models with what understory computes.

Usage: export_check.py (HF_DIR MODEL.gguf expected.json)... [--tolerance 1e-4]

expected.json holds a prompt, its ids, the logits after each of them, and the greedy continuation
(`cargo run --release -p understory-engine --example export_oracle OUT_DIR` makes all three).
transformers loads the folder, llama.cpp (PyPI llama-cpp-python) the GGUF; where the software is
missing the check says `skipped: ...`. Exit status: 0 agreement or skipped, 1 disagreement.
"""
import argparse
import json
import sys


def report(name, expected, begun, ids, logits, greedy, text, tolerance):
    apart = max(abs(a - b) for row, want in zip(logits, expected["logits"]) for a, b in zip(row, want))
    size = max(abs(b) for want in expected["logits"] for b in want)
    checks = {
        "prompt ids": ids == expected["ids"],
        "beginning of a text": begun == expected["prefix"] + expected["ids"],
        f"logits within {tolerance:g}": len(logits) == len(expected["logits"]) and apart <= tolerance,
        "greedy ids": greedy == expected["greedy"],
        "greedy text": text == expected["text"],
    }
    print(f"{name}: largest logit difference {apart:.3g} (largest logit {size:.3g}, smallest greedy lead {expected['margin']:.3g})")
    for check, good in checks.items():
        print(f"  {'ok  ' if good else 'FAIL'} {check}")
    return all(checks.values())


def with_transformers(folder, expected, tolerance):
    try:
        import torch
        import transformers
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        print(f"skipped: transformers ({error})")
        return True
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    begun = tokenizer(expected["prompt"])["input_ids"]
    ids = tokenizer(expected["prompt"], add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].tolist()
        out = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=max(1, len(expected["greedy"])))
    greedy = [i for i in out[0, len(ids):].tolist() if i != tokenizer.eos_token_id]
    text = tokenizer.decode(greedy, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return report(f"transformers {transformers.__version__}", expected, begun, ids, logits, greedy, text, tolerance)


def with_llama_cpp(path, expected, tolerance):
    try:
        import llama_cpp
    except (ImportError, RuntimeError, FileNotFoundError) as error:
        print(f"skipped: llama.cpp ({error})")
        return True
    # A cache of f32: the default of f16 would round what is compared.
    model = llama_cpp.Llama(path, n_ctx=0, logits_all=True, flash_attn=False, type_k=0, type_v=0, n_threads=2, verbose=False)
    # As its programs do: a BOS if the file asks for one.
    begun = model.tokenize(expected["prompt"].encode(), add_bos=True, special=False)
    ids = model.tokenize(expected["prompt"].encode(), add_bos=False, special=False)
    model.eval(ids)
    logits = [row.tolist() for row in model.scores[: len(ids)]]
    greedy = []
    for _ in expected["greedy"]:
        row = model.scores[model.n_tokens - 1]
        token = int(row.argmax())
        if token == model.token_eos():
            break
        greedy.append(token)
        model.eval([token])
    text = model.detokenize(greedy).decode("utf-8", "replace")
    return report(f"llama.cpp (llama-cpp-python {llama_cpp.__version__})", expected, begun, ids, logits, greedy, text, tolerance)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="HF_DIR MODEL.gguf expected.json")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    if len(args.files) % 3:
        parser.error("three names for each model")
    good = True
    for hf_dir, gguf, expected in zip(*[iter(args.files)] * 3):
        with open(expected, encoding="utf-8") as file:
            expected = json.load(file)
        good &= with_transformers(hf_dir, expected, args.tolerance)
        good &= with_llama_cpp(gguf, expected, args.tolerance)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
