#!/usr/bin/env python3
"""Writes the tokenizer golden files of crates/text/tests/golden: what the `tokenizers` library and
llama.cpp make of difficult texts.

Usage: token_golden.py OUT_DIR LLAMA_CPP_PYTHON_DIR     needs tokenizers, gguf, llama_cpp

`tokenizers_hf.json`: small models trained here, and parts (normalizer, pre-tokenizer, template …)
put around them, one variant for each family's way of cutting words. `tokenizers_gguf.json`: small
vocabularies as they stand in GGUF files, encoded by llama.cpp.
"""
import json
import sys
import tempfile
from pathlib import Path

import gguf
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

TRAINING = [
    "The commons are held in common by all who tend them. It's ours, isn't it? We'll see in 2026.",
    "for (int i = 0; i < 100; i++) {\n    total += values[i];\n}\n\n\treturn total;",
    "Das Gemeinsame gehört allen; niemand verkauft es. Élan, naïve, façade, coöperation.",
    "共有地は皆のものです。水は誰のものでもない。Общее достояние принадлежит всем людям.",
    "12345 67890 3.14159 1,000,000 $5.00 50% (a) [b] {c} <d> --- === *** ... !!! ???",
    "HELLO World camelCase snake_case XMLHttpRequest don't DON'T they've THEY'VE",
    "  two   three    four\r\n\r\n  end  \t tabs\t\tmore   ",
]

TEXTS = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\t\n", "Hello world", " Hello world",
    "Hello, world!", " Hello  world ", "It's they'VE DON'T I'll 's 'S 'ſ we'd'm",
    "12345 1234567 ²³ ½ Ⅻ ٣٤٥ 1a2b3", "a\n b\n\n  c\r\n\t d   \n", "   leading and trailing   ",
    "naïve café cafe\u0301 Å \u212b ǆ ﬁ", "共有地は皆のもの。水 12号", "Общее достояние — всем!",
    "👩\u200d🌾 🌱🌱 \u2764\ufe0f", "x\u3000y\u00a0z\u2003w\u200b", "a,b;c:d...!!! ?? -- == $5 50% `x` ^~|",
    "camelCase XMLHttpRequest HELLOworld aB Ab éÉ ǅx", "<s>hi</s> <|im_start|>user\n<|im_end|><mask> <mask>x",
    "{\"key\": [1, 2.50], 'v': null}//end/*c*/", "हिन्दी ภาษาไทย עברית العربية ქართული", "▁under▁score ▁ ",
    "\u0000\u0007\u001b\u007f", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "Ω≈ç√∫˜µ≤≥÷ 𝕬𝖇𝖈 \U00010348",
]

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT4O = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
WORDS = BYTES | {"use_regex": True}


def split(regex, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


def sequence(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def added(id, content, special=True, normalized=False, **flags):
    base = {"single_word": False, "lstrip": False, "rstrip": False}
    return {"id": id, "content": content, **base, "normalized": normalized, "special": special} | flags


def template(before, after=()):
    slots = [{"SpecialToken": {"id": t, "type_id": 0}} for t, _ in before]
    slots += [{"Sequence": {"id": "A", "type_id": 0}}]
    slots += [{"SpecialToken": {"id": t, "type_id": 0}} for t, _ in after]
    special = {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in [*before, *after]}
    return {"type": "TemplateProcessing", "single": slots, "pair": slots, "special_tokens": special}


def model(tokenizer):
    """The model alone, merges as text with the tokens beside each other."""
    return json.loads(tokenizer.to_str())["model"]


def byte_level_model():
    """Learned across words, so that it shows where words are cut."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    t.train_from_iterator(TRAINING * 2, trainers.BpeTrainer(
        vocab_size=620, min_frequency=2, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>", "</s>", "<|im_start|>", "<|im_end|>"], max_token_length=12))
    return model(t)


def character_model():
    """SentencePiece's kind: characters, ▁ for spaces, bytes as a last resort."""
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Replace(" ", "▁")
    special = ["<unk>", "<s>", "</s>", *[f"<0x{b:02X}>" for b in range(256)]]
    t.train_from_iterator(TRAINING * 2, trainers.BpeTrainer(
        vocab_size=640, min_frequency=2, special_tokens=special, limit_alphabet=110, max_token_length=10))
    return model(t)


def variants(byte_level, character):
    """Name to everything but the model, which is named."""
    n = len(byte_level["vocab"])
    marks = [added(0, "<s>"), added(1, "</s>"), added(2, "<|im_start|>"), added(3, "<|im_end|>")]
    base = {"model": "byte_level", "added_tokens": marks, "decoder": WORDS}
    digits = {"type": "Digits", "individual_digits": True}
    punctuation = {"type": "Punctuation", "behavior": "Contiguous"}
    out = {
        "gpt2": base | {"pre_tokenizer": WORDS, "post_processor": WORDS | {"trim_offsets": False}},
        "gpt2_prefix_space": base | {"pre_tokenizer": WORDS | {"add_prefix_space": True}},
        "llama3": base | {"pre_tokenizer": sequence(split(LLAMA3), BYTES), "ignore_merges": True,
                          "post_processor": {"type": "Sequence", "processors": [WORDS, template([("<s>", 0)])]}},
        "qwen2": base | {"normalizer": {"type": "NFC"}, "pre_tokenizer": sequence(split(QWEN2), BYTES)},
        "tekken": base | {"pre_tokenizer": sequence(split(TEKKEN), BYTES), "ignore_merges": True},
        "gpt4o_inverted": base | {"pre_tokenizer": sequence(split(GPT4O, "Removed", True), BYTES)},
        "smollm": base | {"pre_tokenizer": sequence(digits, WORDS)},
        "falcon": base | {"pre_tokenizer": sequence(
            punctuation, WORDS, {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]"))},
        "with_added": base | {"pre_tokenizer": WORDS, "added_tokens": marks + [
            added(n, "<mask>", lstrip=True), added(n + 1, "  ", special=False, normalized=True),
            added(n + 2, "Hello", special=False, single_word=True)]},
    }
    marks = [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>")]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    decode = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
              {"type": "ByteFallback"}, {"type": "Fuse"}]
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}]
    base = {"model": "character", "added_tokens": marks}
    metaspace = {"type": "Metaspace", "replacement": "▁", "split": False}
    m = len(character["vocab"])
    out |= {
        "llama2": base | {"normalizer": {"type": "Sequence", "normalizers": [
                              {"type": "Prepend", "prepend": "▁"}, replace]},
                          "decoder": {"type": "Sequence", "decoders": decode + strip},
                          "post_processor": template([("<s>", 1)], [("</s>", 2)])},
        "gemma": base | {"normalizer": replace,
                         "pre_tokenizer": {"type": "Split", "pattern": {"String": " "},
                                           "behavior": "MergedWithPrevious", "invert": False},
                         "decoder": {"type": "Sequence", "decoders": decode},
                         "added_tokens": marks + [added(character["vocab"]["\n\n"], "\n\n", special=False), added(m, "<mask>")]},
        "mistral_first": base | {"pre_tokenizer": metaspace | {"prepend_scheme": "first"},
                                 "decoder": {"type": "Sequence", "decoders": decode + strip}},
        "metaspace_always": base | {"pre_tokenizer": metaspace | {"prepend_scheme": "always", "split": True},
                                    "decoder": {"type": "Sequence", "decoders": [
                                        {"type": "ByteFallback"},
                                        metaspace | {"prepend_scheme": "always", "split": True}]}},
        "normalized_added": base | {"normalizer": replace, "added_tokens": marks + [
            added(m, "a b", special=False, normalized=True)], "decoder": {"type": "Sequence", "decoders": decode}},
    }
    return out


def whole(variant, models_by_name):
    variant = dict(variant)
    one = dict(models_by_name[variant.pop("model")])
    one["ignore_merges"] = variant.pop("ignore_merges", False)
    empty = dict.fromkeys(["truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"])
    return {"version": "1.0", **empty, **variant, "model": one}


def hf_cases(out):
    by_name = {"byte_level": byte_level_model(), "character": character_model()}
    all_variants = variants(**{k: v for k, v in by_name.items()})
    cases = {}
    for name, variant in all_variants.items():
        t = Tokenizer.from_str(json.dumps(whole(variant, by_name)))
        rows = []
        for text in TEXTS:
            t.encode_special_tokens = True
            plain = t.encode(text, add_special_tokens=False).ids
            t.encode_special_tokens = False
            special = t.encode(text, add_special_tokens=False).ids
            full = t.encode(text).ids
            rows.append([plain, special, full, t.decode(plain)])
        cases[name] = rows
    document = {"texts": TEXTS, "models": by_name, "variants": all_variants, "cases": cases}
    write(out / "tokenizers_hf.json", document)
    return by_name


def gguf_vocabs(by_name):
    """Vocabularies as they stand in GGUF files."""
    model = by_name["byte_level"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [" ".join(m) if isinstance(m, list) else m for m in model["merges"]]
    base = {"model": "gpt2", "tokens": "byte_level", "types": [3] * 4 + [1] * (len(tokens) - 4),
            "merges": "byte_level", "bos": 0, "eos": 1}
    names = ["gpt-2", "default", "llama-bpe", "falcon", "falcon3", "smollm", "refact", "qwen2", "qwen35",
             "tekken", "gpt-4o", "command-r", "deepseek-coder", "deepseek-v3", "viking", "bloom"]
    out = {name: base | {"pre": name} for name in names}
    chars = by_name["character"]
    spm = sorted(chars["vocab"], key=chars["vocab"].get)
    rank = {"".join(m if isinstance(m, list) else m.split(" ")): -float(i) for i, m in enumerate(chars["merges"])}
    scores = [rank.get(t, -1000.0) for t in spm]
    types = [2, 3, 3] + [6] * 256 + [1] * (len(spm) - 259)
    spm_base = {"model": "llama", "tokens": "character", "scores": scores, "types": types, "bos": 1, "eos": 2}
    out["spm"] = spm_base
    out["spm_no_prefix"] = spm_base | {"add_space_prefix": False, "add_bos": False}
    ties = [round(s / 40) * 40.0 for s in scores]
    out["spm_ties"] = spm_base | {"scores": ties}
    user = {"extra": ["<mask>", "o w", "  "], "extra_types": [3, 4, 4]}
    out["spm_user_defined"] = spm_base | user
    out["gpt2_user_defined"] = base | {"pre": "gpt-2"} | user
    texts = {"byte_level": tokens, "character": spm}
    return out, texts, {"byte_level": merges}


def write_gguf(path, vocab, tokens, merges):
    w = gguf.GGUFWriter(path, "llama")
    w.add_tokenizer_model(vocab["model"])
    if "pre" in vocab:
        w.add_tokenizer_pre(vocab["pre"])
    w.add_token_list(tokens[vocab["tokens"]] + vocab.get("extra", []))
    w.add_token_types(vocab["types"] + vocab.get("extra_types", []))
    if "scores" in vocab:
        w.add_token_scores(vocab["scores"] + [0.0] * len(vocab.get("extra", [])))
    if "merges" in vocab:
        w.add_token_merges(merges[vocab["merges"]])
    w.add_bos_token_id(vocab["bos"])
    w.add_eos_token_id(vocab["eos"])
    if "add_space_prefix" in vocab:
        w.add_add_space_prefix(vocab["add_space_prefix"])
    if "add_bos" in vocab:
        w.add_add_bos_token(vocab["add_bos"])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def gguf_cases(out, by_name):
    import llama_cpp

    vocabs, tokens, merges = gguf_vocabs(by_name)
    cases = {}
    for name, vocab in vocabs.items():
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/vocab.gguf"
            write_gguf(path, vocab, tokens, merges)
            llama = llama_cpp.Llama(path, vocab_only=True, verbose=False)
            rows = []
            for text in TEXTS:
                raw = text.encode()
                rows.append([llama.tokenize(raw, add_bos=False, special=False),
                             llama.tokenize(raw, add_bos=False, special=True),
                             llama.tokenize(raw, add_bos=True, special=False)])
            cases[name] = rows
    write(out / "tokenizers_gguf.json", {"texts": TEXTS, "tokens": tokens, "merges": merges,
                                         "vocabs": vocabs, "cases": cases})


def write(path, document):
    path.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")


def main():
    out, llama = Path(sys.argv[1]), sys.argv[2]
    sys.path.insert(0, llama)
    gguf_cases(out, hf_cases(out))


if __name__ == "__main__":
    main()
