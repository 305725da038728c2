#!/usr/bin/env python3
"""Writes the Parquet files of crates/recipe/tests/parquet, and the same rows as JSON lines: those of
`chats-zstd.parquet` are in `chats.jsonl`, and so on.

Usage: parquet_golden.py OUT_DIR     needs pyarrow, duckdb, polars

Files called `bad-*` are refused; the tests say how.
"""
import base64
import json
import sys
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

WORDS = "the commons are held by all who tend them: soil, water, seed, song, tool and tale".split()
TEXTS = [
    " ".join(WORDS[(i * j * j + j) % len(WORDS)] for j in range(1, 4 + i % 29)) + f" {i}." for i in range(200)
]
TEXTS[3] = ""
TEXTS[4] = "Grüße, 木 und 🌱\n\nzweiter Absatz\twith a tab"
TEXTS[5] = "one long text. " * 300
REPEATED = [TEXTS[i % 5] for i in range(200)]


def write(out, name, table, **options):
    pq.write_table(table, out / f"{name}.parquet", **options)
    rows, _, _ = name.partition("-")
    if rows != "bad":
        keep = [c for c in table.column_names if c in ("text", "content", "prompt", "completion", "messages")]
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in table.select(keep).to_pylist()]
        (out / f"{rows}.jsonl").write_text("".join(lines))


def texts(values, kind=pa.string(), name="text"):
    return pa.table({name: pa.array(values, kind)})


def chats(out):
    content = lambda i: None if i % 5 == 3 else TEXTS[i % 90 + 10]
    message = lambda i: {"role": "user" if i % 2 else "assistant", "content": content(i)}
    rows = [[message(i * 3 + j) for j in range(i % 4)] for i in range(80)]
    kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    table = pa.table({"id": list(range(80)), "messages": pa.array(rows, kind)})
    write(out, "chats-zstd", table, compression="zstd", row_group_size=33, data_page_size=200)
    write(out, "chats-old-lists", table, compression="snappy", use_compliant_nested_type=False)
    write(out, "chats-2", table, compression="gzip", data_page_version="2.0", data_page_size=100, write_batch_size=7)
    part = lambda i: {"type": "image", "text": None} if i % 4 == 2 else {"type": "text", "text": TEXTS[i % 60 + 20]}
    parts = lambda i: None if i % 7 == 5 else [part(i + j) for j in range(i % 3)]
    rows = [[{"role": "user", "content": parts(i + j)} for j in range(1 + i % 3)] for i in range(60)]
    part = pa.struct([("type", pa.string()), ("text", pa.string())])
    kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.list_(part))]))
    write(out, "parts-plain", pa.table({"messages": pa.array(rows, kind)}), data_page_size=150, write_batch_size=5)


def good(out):
    plain = dict(use_dictionary=False)
    write(out, "texts-snappy", texts(TEXTS), compression="snappy", row_group_size=110)
    write(out, "texts-zstd", texts(TEXTS), compression="zstd", **plain)
    write(out, "texts-gzip", texts(TEXTS), compression="gzip", data_page_size=2000, write_batch_size=11)
    write(out, "texts-none", texts(TEXTS), compression="none", **plain)
    write(out, "repeated-dictionary", texts(REPEATED), compression="snappy", data_page_version="2.0")
    # A dictionary that grows too large is followed by plain pages.
    write(out, "texts-fallback", texts(TEXTS), compression="zstd", dictionary_pagesize_limit=500, data_page_size=1000,
          write_batch_size=9)
    write(out, "texts-large", texts(TEXTS, pa.large_string()), compression="zstd", data_page_version="2.0", **plain)
    write(out, "texts-view", texts(TEXTS, pa.string_view()), compression="snappy")
    required = pa.schema([pa.field("text", pa.string(), nullable=False)])
    write(out, "texts-required", texts(TEXTS).cast(required), compression="snappy")
    write(out, "content", texts(TEXTS[:40], name="content"), compression="snappy")
    for encoding in ["DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"]:
        for version in ["1.0", "2.0"]:
            write(out, f"texts-{encoding[:-11].lower().replace('_', '-')}-{version[0]}", texts(TEXTS), compression="zstd",
                  column_encoding=encoding, data_page_version=version, data_page_size=900,
                  write_batch_size=40, **plain)
    pairs = pa.table({
        "prompt": TEXTS[:90],
        "completion": TEXTS[90:180],
        "text": [None if i % 3 else TEXTS[190 + i % 9] for i in range(90)],
    })
    write(out, "nulls", pairs, compression="snappy", row_group_size=40)
    others = pa.table({
        "id": pa.array(range(50), pa.int64()),
        "meta": pa.array([{"a": i, "b": {"c": [str(i)] * (i % 3)}} for i in range(50)]),
        "map": pa.array([[("k", i)] for i in range(50)], pa.map_(pa.string(), pa.int32())),
        "text": TEXTS[:50],
        "when": pa.array(range(50), pa.timestamp("ms")),
        "score": [i / 3 for i in range(50)],
        "flag": [i % 2 == 0 for i in range(50)],
        "content": TEXTS[50:100],
    })
    write(out, "others", others, compression="zstd", row_group_size=20)
    write(out, "empty", texts([]), compression="snappy")


def other_writers(out):
    """The rows of texts.jsonl and chats.jsonl, written by other programs."""
    chats = pq.read_table(out / "chats-zstd.parquet")
    frames = {"texts": texts(TEXTS), "chats": chats}
    for name, frame in frames.items():
        polars.from_arrow(frame).write_parquet(out / f"{name}-polars.parquet", compression="zstd")
        for version in ["V1", "V2"]:
            settings = f"(FORMAT parquet, COMPRESSION snappy, PARQUET_VERSION {version})"
            duckdb.sql(f"COPY (SELECT * FROM frame) TO '{out}/{name}-duckdb-{version}.parquet' {settings}")


class Keys(pe.KmsClient):
    def __init__(self, _):
        pe.KmsClient.__init__(self)

    def wrap_key(self, key, _):
        return base64.b64encode(key)

    def unwrap_key(self, key, _):
        return base64.b64decode(key)


def encrypted(out, name, plain_footer):
    settings = pe.EncryptionConfiguration(footer_key="f", column_keys={"c": ["text"]}, plaintext_footer=plain_footer)
    factory = pe.CryptoFactory(Keys)
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), settings)
    with pq.ParquetWriter(out / f"{name}.parquet", texts(TEXTS[:9]).schema, encryption_properties=properties) as w:
        w.write_table(texts(TEXTS[:9]))


def bad(out):
    write(out, "bad-lz4", texts(TEXTS[:40]), compression="lz4")
    write(out, "bad-brotli", texts(TEXTS[:40]), compression="brotli")
    write(out, "bad-bytes", texts([b"a", b"b", b"caf\xe9"], pa.binary()), row_group_size=2)
    write(out, "bad-null", texts(["a", "b", None, "c"]), row_group_size=2)
    write(out, "bad-columns", texts(TEXTS[:9], name="body"))
    write(out, "bad-number", pa.table({"text": [1, 2, 3]}))
    encrypted(out, "bad-encrypted", False)
    encrypted(out, "bad-encrypted-column", True)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    good(folder)
    chats(folder)
    other_writers(folder)
    bad(folder)
