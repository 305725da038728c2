#!/usr/bin/env python3
"""Writes crates/tlog/tests/golden/merkle.json: which Merkle proofs are right and which wrong.

Usage: merkle_golden.py CHECKOUT OUT_FILE

CHECKOUT is a checkout of https://github.com/transparency-dev/merkle (Apache-2.0); all vectors of
its testdata/inclusion and testdata/consistency are taken, in one file in which each hash stands
once. Where a vector has a placeholder in place of a hash ("don't care 1"), its SHA-256 is taken,
which keeps what is equal equal; hashes of another wrong length are kept as they are.
"""
import base64
import hashlib
import json
import sys
from pathlib import Path


def main() -> None:
    testdata, out = Path(sys.argv[1]) / "testdata", Path(sys.argv[2])
    hashes: dict[str, int] = {}

    def number(text: str | None) -> int:
        value = base64.b64decode(text or "")
        if value.startswith(b"don't care"):
            value = hashlib.sha256(value).digest()
        return hashes.setdefault(base64.b64encode(value).decode(), len(hashes))

    def numbers(texts: list[str] | None) -> list[int]:
        return [number(text) for text in texts or []]

    def vectors(kind: str) -> list[tuple[str, dict]]:
        files = sorted((testdata / kind).rglob("*.json"))
        named = [(str(f.relative_to(testdata / kind).with_suffix("")), f) for f in files]
        return [(name, json.loads(file.read_text())) for name, file in named]

    inclusion = [
        [name, v["leafIdx"], v["treeSize"], number(v["leafHash"]), number(v["root"]),
         numbers(v["proof"]), not v["wantErr"]]
        for name, v in vectors("inclusion")
    ]
    consistency = [
        [name, v["size1"], v["size2"], number(v["root1"]), number(v["root2"]),
         numbers(v["proof"]), not v["wantErr"]]
        for name, v in vectors("consistency")
    ]
    lines = [
        '"source": "transparency-dev/merkle testdata, Apache-2.0; see oracle/merkle_golden.py"',
        '"hashes": ' + json.dumps(list(hashes)),
        '"inclusion (name, leaf index, size, leaf, root, proof, right)": [\n'
        + ",\n".join(json.dumps(v) for v in inclusion) + "]",
        '"consistency (name, old size, new size, old root, new root, proof, right)": [\n'
        + ",\n".join(json.dumps(v) for v in consistency) + "]",
    ]
    out.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(len(inclusion), "inclusion,", len(consistency), "consistency,", len(hashes), "hashes")


if __name__ == "__main__":
    main()
