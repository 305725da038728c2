#!/usr/bin/env python3
"""Writes crates/tlog/tests/golden/tlog_proof.json: proofs in the format of C2SP's tlog-proof,
made from the specifications' text alone, with the keys to check them.

Usage: tlog_proof_golden.py OUT_FILE

Needs the package `cryptography`. Entry i of a log is the text "entry i".
"""
import base64
import json
import sys
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ORIGIN = "log.example/compost"
TIME = 1_800_000_000


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Key:
    def __init__(self, name: str, kind: int, seed: int):
        self.name, self.secret = name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.typed = bytes([kind]) + self.secret.public_key().public_bytes_raw()
        self.id = sha256(name.encode() + b"\n" + self.typed).digest()[:4]

    def vkey(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64(self.typed)}"

    def line(self, signature: bytes) -> str:
        return f"\u2014 {self.name} {b64(self.id + signature)}\n"


LOG = Key(ORIGIN, 1, 1)
WITNESSES = [Key(f"witness{n}.example", 4, 10 + n) for n in range(3)]


def split(size: int) -> int:
    """The largest power of two below size (RFC 6962, section 2.1)."""
    return 1 << (size - 1).bit_length() - 1


def root(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    at = split(len(leaves))
    return sha256(b"\1" + root(leaves[:at]) + root(leaves[at:])).digest()


def path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return []
    at = split(len(leaves))
    if index < at:
        return path(index, leaves[:at]) + [root(leaves[at:])]
    return path(index - at, leaves[at:]) + [root(leaves[:at])]


def proof(index: int, size: int, extra: bytes | None) -> str:
    leaves = [f"entry {i}".encode() for i in range(size)]
    body = f"{ORIGIN}\n{size}\n{b64(root(leaves))}\n"
    note = body + "\n" + LOG.line(LOG.secret.sign(body.encode()))
    for n, witness in enumerate(WITNESSES[:2]):
        message = f"cosignature/v1\ntime {TIME + n}\n{body}".encode()
        note += witness.line((TIME + n).to_bytes(8, "big") + witness.secret.sign(message))
    lines = ["c2sp.org/tlog-proof@v1"]
    lines += [] if extra is None else [f"extra {b64(extra)}"]
    lines += [f"index {index}"] + [b64(h) for h in path(index, leaves)]
    return "\n".join(lines) + "\n\n" + note


def main() -> None:
    cases = [(0, 1, None), (5, 7, b"what goes with it"), (6, 7, b""), (299, 300, None)]
    golden = {
        "log": LOG.vkey(),
        "witnesses": [witness.vkey() for witness in WITNESSES],
        "proofs (index, size, text)": [[i, n, proof(i, n, extra)] for i, n, extra in cases],
    }
    Path(sys.argv[1]).write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
