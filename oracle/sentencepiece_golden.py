#!/usr/bin/env python3
"""Writes crates/text/tests/golden/sentencepiece.json: what the `sentencepiece` library makes of
difficult texts with small models of every kind that is read.

Usage: sentencepiece_golden.py OUT_FILE [MODEL_DIR]     needs sentencepiece

With MODEL_DIR a further model with the whole `nmt_nfkc` normalization is written there beside its
ids, to be compared with `cargo run -p understory-engine --example tokens` (see token_check.py).
"""
import io
import json
import sys
import tempfile
from pathlib import Path

import sentencepiece as spm

TRAINING = [
    "The commons are held in common by all who tend them. It's ours, isn't it? We'll see in 2026.",
    "for (int i = 0; i < 100; i++) { total += values[i]; } return total;",
    "Das Gemeinsame gehört allen; niemand verkauft es. Élan, naïve, façade, coöperation.",
    "共有地は皆のものです。水は誰のものでもない。Общее достояние принадлежит всем людям.",
    "12345 67890 3.14159 1,000,000 $5.00 50% (a) [b] {c} <d> --- === *** ... !!! ???",
    "the soil under the old trees holds more than the trees themselves",
    "who tends the soil tends the trees and who tends the trees tends the commons",
] * 4

TEXTS = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "Hello world", " Hello world", "Hello  world ",
    "  leading and   trailing   ", "It's they'VE DON'T", "12345 1234567 ²³ ½ Ⅻ ٣٤٥", "a\n b\n\n  c\t d \n",
    "naïve café cafe\u0301 Å \u212b ﬁ ﬃ", "共有地は皆のもの。水 12号", "Общее достояние — всем!",
    "👩\u200d🌾 🌱🌱", "x\u3000y\u00a0z\u2003w\u200bv", "ＡＢＣ ａｂｃ１２３", "<s>hi</s> <unk> <0x41>",
    "<|sep|>", "a<|sep|>b <|sep|> c<|sep|><|sep|>", "<|sep|", "<ctl>text<ctl>", "▁under▁score ▁ ",
    "\u0000\u0007\u001b\u007f", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "the commons\u3000\u3000are",
    "ﬁ\u3000ﬁ", "\u3000 x \u3000", "𝕬𝖇𝖈 \U00010348", "the  trees<|sep|>  the trees", "wholly unknown ᚠᚢᚦ ᚱ",
    "zz top zz", "  zz", "e\u0301e\u0301",
]

# From, to: code points. Longer ones win; white space, nothing and several characters come out.
RULES = {
    "ﬁ": "fi", "ﬃ": "ffi", "\u3000": " ", "\u00a0": " ", "\t": " ", "\n": " ", "\r": " ", "\u200b": "", "\u0007": "",
    "e\u0301": "é", "½": "1⁄2", "²": "2", "Ａ": "A", "Ｂ": "B", "Ｃ": "C", "\u212b": "Å", "。": ". ",
    "zz": " z ",
}

BASE = dict(
    vocab_size=420, hard_vocab_limit=False, num_threads=1, minloglevel=2, character_coverage=0.98,
    max_sentencepiece_length=12, normalization_rule_name="identity",
)
SYMBOLS = dict(user_defined_symbols=["<|sep|>", "zz"], control_symbols=["<ctl>"])
BYTES = dict(byte_fallback=True, vocab_size=640)


def variants(rules):
    rules = dict(normalization_rule_tsv=rules, normalization_rule_name="")
    keep = dict(remove_extra_whitespaces=False)
    yield "unigram", dict(model_type="unigram")
    yield "unigram_bytes", dict(model_type="unigram", **BYTES, **keep)
    yield "unigram_symbols", dict(model_type="unigram", **SYMBOLS, **rules)
    yield "unigram_no_prefix", dict(model_type="unigram", add_dummy_prefix=False, **rules, **keep)
    yield "bpe", dict(model_type="bpe", **rules)
    yield "bpe_bytes", dict(model_type="bpe", **BYTES, **keep)
    yield "bpe_symbols", dict(model_type="bpe", **BYTES, **SYMBOLS, **rules, **keep)
    yield "bpe_no_prefix", dict(model_type="bpe", add_dummy_prefix=False, **SYMBOLS)


def train(**options):
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(TRAINING), model_writer=out, **BASE | options)
    return out.getvalue()


def encoded(model):
    tokenizer = spm.SentencePieceProcessor(model_proto=model)
    ids = [tokenizer.encode(text) for text in TEXTS]
    return [[one, tokenizer.decode(one)] for one in ids]


def main():
    out = Path(sys.argv[1])
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        points = lambda text: " ".join(f"{ord(c):X}" for c in text)
        rules.write("".join(f"{points(a)}\t{points(b)}\n" for a, b in RULES.items()))
        rules.flush()
        models = {name: train(**options) for name, options in variants(rules.name)}
    golden = {
        "library": spm.__version__, "texts": TEXTS,
        "models": {name: model.hex() for name, model in models.items()},
        "cases": {name: encoded(model) for name, model in models.items()},
    }
    out.write_text(json.dumps(golden, ensure_ascii=True, separators=(",", ":")).replace('],[[', '],\n[[') + "\n")
    if len(sys.argv) > 2:
        folder = Path(sys.argv[2])
        folder.mkdir(parents=True, exist_ok=True)
        for kind in ["unigram", "bpe"]:
            model = train(model_type=kind, normalization_rule_name="nmt_nfkc", **BYTES, **SYMBOLS)
            (folder / kind).mkdir(exist_ok=True)
            (folder / kind / "tokenizer.model").write_bytes(model)
            (folder / kind / "cases.json").write_text(json.dumps([TEXTS, encoded(model)]))


if __name__ == "__main__":
    main()
