"""Runs the table of checks/mutations.sh: TABLE COPY [WORD]."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

# Optimising costs more than it gives where every run compiles anew.
QUICK = ["--config", "profile.dev.package.understory-swarm.opt-level=1"]
# A test may also hang without a rule.
PATIENCE_S = 900


def cargo(copy, test, *more):
    command = ["cargo", "test", "-q", *QUICK, *test.split(), *more]
    try:
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout + done.stderr


def failed_tests(output):
    return sorted(set(re.findall(r"^test (\S+) \.\.\. FAILED|^    (\S+)$", output, re.M)))


def try_rule(copy, rule):
    """Whether a test fails without the rule, and what to say about it."""
    path = copy / rule["file"]
    source = path.read_text()
    if source.count(rule["old"]) != 1:
        return False, f"its text is {source.count(rule['old'])} times in {rule['file']}"
    path.write_text(source.replace(rule["old"], rule["new"]))
    try:
        code, output = cargo(copy, rule["test"], "--no-run")
        if code != 0:
            return False, "does not compile without it:\n" + output[-2000:]
        code, output = cargo(copy, rule["test"])
        if code == 0:
            return False, "no test fails"
        names = [a or b for a, b in failed_tests(output)] or ["(no end)"]
        said = re.findall(r"not so: ([^:\n]+)", output)
        return True, ", ".join(names + sorted(set(said)))
    finally:
        path.write_text(source)


def main():
    table, copy, word = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    rules = tomllib.loads(table.read_text())["rule"]
    full = os.environ.get("UNDERSTORY_CI_FULL") == "1"
    chosen = [r for r in rules if word in r["name"] and (word or full or r.get("short"))]
    for test in sorted({r["test"] for r in chosen}):
        code, output = cargo(copy, test)
        if code != 0:
            sys.exit(f"with every rule in place, {test} fails:\n{output[-3000:]}")
        # A filter that names no test would let everything pass.
        if not re.search(r"test result: ok\. [1-9]", output) and not re.search(r"running [1-9]", output):
            sys.exit(f"{test} runs nothing")
    missed = 0
    for rule in chosen:
        noticed, what = try_rule(copy, rule)
        missed += not noticed
        print(f"{'noticed' if noticed else 'MISSED '}  {rule['name']}: {what}", flush=True)
    print(f"{len(chosen) - missed} passed, {missed} failed")
    sys.exit(missed > 0 or not chosen)


main()
