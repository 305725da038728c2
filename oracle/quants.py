#!/usr/bin/env python3
"""Writes crates/kernel/tests/golden/quants.bin: blocks of every weight format with the values that
the reference of the `gguf` package gives them.

Usage: quants.py OUT_FILE          needs gguf, numpy

For each format: its name in 8 bytes (padded with zeros), the number of block bytes and of values
(u32), the block bytes, the values (f32); all little-endian. Levels and integer scales are random
bytes, so that every bit pattern occurs; halves are random but finite.
"""
import struct
import sys

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import quants

# Where in a block the halves lie, and how many blocks are made.
FORMATS = {
    "F32": (None, 64), "F16": (0, 512), "BF16": (None, 512), "Q8_0": (0, 40), "Q4_0": (0, 40),
    "Q4_1": (0, 40), "Q5_0": (0, 40), "Q5_1": (0, 40), "Q2_K": (80, 6), "Q3_K": (108, 6),
    "Q4_K": (0, 6), "Q5_K": (0, 6), "Q6_K": (208, 6), "IQ4_NL": (0, 40),
}
TWO_HALVES = {"Q4_1", "Q5_1", "Q2_K", "Q4_K", "Q5_K"}
SIZES = {"F32": 4, "F16": 2, "BF16": 2}


def blocks_of(name, generator):
    at, count = FORMATS[name]
    if name in ("F32", "BF16"):
        values = generator.standard_normal(count).astype(np.float32)
        return values.view(np.uint8) if name == "F32" else (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    size = SIZES.get(name) or quants._type_traits[Type[name]].type_size
    blocks = generator.integers(0, 256, (count, size), dtype=np.uint8)
    for half in range(1 + (name in TWO_HALVES)):
        # Random bits below infinity: both signs, subnormal numbers too.
        bits = generator.integers(0, 0x7C00, count, dtype=np.uint16)
        bits |= generator.integers(0, 2, count, dtype=np.uint16) << 15
        blocks[:, at + 2 * half : at + 2 * half + 2] = bits[:, None].view(np.uint8)
    return blocks.ravel()


def main(out):
    generator = np.random.default_rng(1)
    with open(out, "wb") as file:
        for name in FORMATS:
            blocks = blocks_of(name, generator)
            values = quants.dequantize(blocks, Type[name]).astype("<f4").ravel()
            file.write(name.encode().ljust(8, b"\0"))
            file.write(struct.pack("<II", len(blocks), len(values)))
            file.write(blocks.tobytes() + values.tobytes())


if __name__ == "__main__":
    main(sys.argv[1])
