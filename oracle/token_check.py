#!/usr/bin/env python3
"""Compares our ids with llama.cpp's: for a GGUF file on difficult, random and real text, and for
llama.cpp's own vectors where its source is there.

Usage: token_check.py TOKENS_BINARY TEXT_FILE MODEL.gguf…
       token_check.py TOKENS_BINARY --vectors LLAMA_CPP/models

TOKENS_BINARY is `cargo build --release -p understory-engine --example tokens`. llama.cpp is that of
npm's node-llama-cpp: CHECK_MODULES names the folder with node_modules.
Ends with `N passed, N failed`.
"""
import json
import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "crates/text/tests/golden/tokenizers_hf.json"
NODE = ROOT / "checks/llama/tokens.mjs"
RANGES = [(0x20, 0x7E)] * 6 + [(0xA0, 0x24F), (0x370, 0x5FF), (0x900, 0x97F), (0x3040, 0x30FF),
                               (0x4E00, 0x9FFF), (0x1F300, 0x1F6FF), (0x2000, 0x206F), (9, 13)]


def ids(command, cases):
    """What a program prints for texts, one line of JSON each, and what it says besides."""
    lines = "".join(json.dumps({"text": text, "special": special}) + "\n" for text, special in cases)
    run = subprocess.run(command, input=lines, capture_output=True, text=True)
    if run.returncode:
        return None, run.stderr.strip()
    return [json.loads(line) for line in run.stdout.strip("\n").split("\n")], run.stderr


def ours(binary, model, cases):
    got, said = ids([binary, model], cases)
    return got and [line["ids"] for line in got], said


def texts(path):
    random.seed(1)
    hard = json.loads(GOLDEN.read_text())["texts"]
    hard += ["<|im_start|>user\nhi<|im_end|>\n", "<start_of_turn>user\nhi<end_of_turn>\n", "<bos>x<eos>", "\ufeffx"]
    real = Path(path).read_text(errors="replace")
    pieces = [real[i:i + 600] for i in range(0, min(len(real), 300_000), 6000)]
    mixed = "".join(random.choice(hard) for _ in range(400))
    chance = ["".join(chr(random.randint(*random.choice(RANGES))) for _ in range(60)) for _ in range(400)]
    return hard + pieces + [mixed] + chance


def against_llama(binary, path, models):
    failed = 0
    cases = [(text, special) for text in texts(path) for special in (False, True)]
    for model in models:
        want, theirs = ids(["node", NODE, model], cases)
        got, said = ours(binary, model, cases)
        if got is None or want is None:
            print(f"FAILED  {model}: {said} {theirs}")
            failed += 1
            continue
        wrong = [case for case, a, b in zip(cases, want, got, strict=True) if a != b]
        failed += bool(wrong)
        print(f"{'FAILED' if wrong else 'ok'}  {model}: {len(wrong)} of {len(cases)} texts differ", wrong[:2])
    return len(models) - failed, failed


def vectors(binary, folder):
    passed = failed = 0
    for source in sorted(Path(folder).glob("*.gguf.inp")):
        model = str(source)[:-4]
        parts = source.read_bytes().decode().split("\n__ggml_vocab_test__\n")
        want = [[int(id) for id in line.split()] for line in Path(model + ".out").read_text().splitlines()]
        got, said = ours(binary, model, [(text, False) for text in parts[:len(want)]])
        if got is None and "Unsupported" in said:
            print(f"skipped {model}: {said}")
            continue
        good = got == want
        passed, failed = passed + good, failed + (not good)
        print(f"{'ok' if good else 'FAILED'}  {model} {'' if got else said}")
    return passed, failed


def main():
    if sys.argv[2] == "--vectors":
        passed, failed = vectors(sys.argv[1], sys.argv[3])
    else:
        passed, failed = against_llama(sys.argv[1], sys.argv[2], sys.argv[3:])
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
