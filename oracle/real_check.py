#!/usr/bin/env python3
"""Compares what understory and llama.cpp say about a real text, for one GGUF.

Usage: real_check.py MODEL.gguf TEXT LOG_PROBS [--tokens 2000] [--greedy 64] [--limit 0.2]

LOG_PROBS is the built example `log_probs`. llama.cpp (PyPI llama-cpp-python) makes the token ids,
so that tokenizers play no part; its cache is f32 and flash attention is off. Printed are the
difference of log-probabilities token by token, perplexity in windows of 512 as llama-perplexity
counts it, and where the greedy texts part, with the lead of the chosen logit there. Both programs
make the inputs of quantized products integers of 8 bits; the least difference before turns some of
them over, so tokens differ about as much as from inputs in f32.
Exit status: 0 if the mean difference is below the limit, 1 if not, 2 if llama.cpp is missing.
"""
import argparse
import math
import subprocess
import sys
import tempfile

try:
    import llama_cpp
    import numpy
except (ImportError, RuntimeError, FileNotFoundError) as error:
    print(f"skipped: llama.cpp ({error})")
    sys.exit(2)


def log_softmax(row, token):
    row = row.astype(numpy.float64)
    top = row.max()
    return float(row[token] - top - math.log(numpy.exp(row - top).sum()))


def llama_log_probs(model, ids):
    model.reset()
    model.eval(ids)
    return [log_softmax(model.scores[i], ids[i + 1]) for i in range(len(ids) - 1)]


def llama_perplexity(model, ids, bos, window=512):
    total, count = 0.0, 0
    for start in range(0, len(ids) - window + 1, window):
        piece = list(ids[start:start + window])
        if bos is not None:
            piece[0] = bos
        found = llama_log_probs(model, piece)[window // 2:]
        total, count = total - sum(found), count + len(found)
    return math.exp(total / count), count


def llama_greedy(model, ids, count):
    model.reset()
    model.eval(ids)
    chosen, leads = [], []
    for _ in range(count):
        row = model.scores[model.n_tokens - 1]
        order = numpy.argpartition(-row, 2)[:2]
        order = order[numpy.argsort(-row[order], kind="stable")]
        chosen.append(int(order[0]))
        leads.append(float(row[order[0]] - row[order[1]]))
        model.eval(chosen[-1:])
    return chosen, leads


def ours(arguments, model, ids, *options):
    with tempfile.NamedTemporaryFile("w", suffix=".ids") as file:
        file.write(" ".join(map(str, ids)))
        file.flush()
        command = [arguments.log_probs, model, file.name, *map(str, options)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = (line.split(" ", 1) for line in done.stdout.splitlines())
    return {key: rest for key, rest in lines}


def differences(arguments, ids, theirs, option):
    found = [float(x) for x in ours(arguments, arguments.model, ids, *option)["log_probs"].split()]
    apart = [abs(a - b) for a, b in zip(found, theirs)]
    mean = sum(apart) / len(apart)
    name = "inputs in f32" if option else "inputs in 8 bits"
    shift = sum(a - b for a, b in zip(found, theirs)) / len(theirs)
    print(f"  {len(apart)} tokens, {name}: mean difference of log-probability {mean:.5f}, "
          f"largest {max(apart):.4f}, mean shift {shift:+.5f}")
    return mean


def perplexities(arguments, model, ids, bos):
    theirs, count = llama_perplexity(model, ids, bos)
    options = ["--chunk", 512] + (["--bos", bos] if bos is not None else [])
    for name, option in [("8 bits", []), ("f32", ["--f32"])]:
        said = ours(arguments, arguments.model, ids, *options, *option)["perplexity"]
        print(f"  perplexity over {count} tokens: llama.cpp {theirs:.4f}, "
              f"understory with inputs in {name} {said.split()[0]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("log_probs")
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--greedy", type=int, default=64)
    parser.add_argument("--limit", type=float, default=0.2)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    with open(arguments.text, encoding="utf-8") as file:
        text = file.read()
    model = llama_cpp.Llama(
        arguments.model, n_ctx=arguments.tokens + arguments.greedy + 1, n_batch=512, logits_all=True,
        flash_attn=False, type_k=0, type_v=0, n_threads=arguments.threads,
        n_threads_batch=arguments.threads, verbose=False)
    add_bos = model.metadata.get("tokenizer.ggml.add_bos_token", "false") == "true"
    bos = model.token_bos() if add_bos else None
    ids = model.tokenize(text.encode(), add_bos=add_bos, special=False)[:arguments.tokens]
    theirs = llama_log_probs(model, ids)
    print(f"{arguments.model}: llama-cpp-python {llama_cpp.__version__}")
    mean = differences(arguments, ids, theirs, [])
    differences(arguments, ids, theirs, ["--f32"])
    if len(ids) >= 512:
        perplexities(arguments, model, ids, bos)
    prompt = ids[:100]
    chosen, leads = llama_greedy(model, prompt, arguments.greedy)
    said = ours(arguments, arguments.model, prompt, "--greedy", arguments.greedy)
    mine = [int(x) for x in said["greedy"].split()]
    my_leads = [float(x) for x in said["leads"].split()]
    part = next((i for i, (a, b) in enumerate(zip(chosen, mine)) if a != b), None)
    if part is None:
        print(f"  greedy text: the same {len(mine)} tokens, smallest lead {min(leads):.4f}")
    else:
        print(f"  greedy text parts at token {part}: leads there {leads[part]:.4f} (llama.cpp) "
              f"and {my_leads[part]:.4f} (understory)")
    sys.exit(0 if mean <= arguments.limit else 1)


if __name__ == "__main__":
    main()
