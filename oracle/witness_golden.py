#!/usr/bin/env python3
"""Writes crates/tlog/tests/golden/witness.json: requests to a witness, in order, and the status
of each answer.

Usage: witness_golden.py CHECKOUT OUT_FILE

CHECKOUT is a checkout of https://github.com/FiloSottile/torchwood (ISC), whose witness is tested
with these requests; they are signed by a real log's key. A log that the witness does not know is
404 by the specification's present text, which is newer than these tests. One signature has stray
bits at the end of its base64, which we refuse to read; it is written without them.
"""
import base64
import json
import re
import sys
from pathlib import Path

CALL = re.compile(
    r"POST \S+/add-checkpoint\n```\n(.*?)```\nHTTP (\d+)\n(?:\[Asserts\]\n(.*?)\n\n)?", re.S
)


def canonical(signature: re.Match) -> str:
    return base64.b64encode(base64.b64decode(signature[0])).decode()


def main() -> None:
    text = (Path(sys.argv[1]) / "cmd/litewitness/testdata/litewitness.txt").read_text() + "\n\n"
    key = re.search(r"add-sigsum-log -key=([0-9a-f]{64})", text)[1]
    calls = []
    for request, status, asserts in CALL.findall(text):
        unknown = "unknown log" in asserts
        request = re.sub(r"(?<= )[A-Za-z0-9+/]{91}=", canonical, request)
        calls.append([request, 404 if unknown else int(status), asserts.strip()])
    golden = {
        "source": "FiloSottile/torchwood, ISC; see oracle/witness_golden.py",
        "key": key,
        "calls (request, status, what was asserted)": calls,
    }
    Path(sys.argv[2]).write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
    print([status for _, status, _ in calls])


if __name__ == "__main__":
    main()
