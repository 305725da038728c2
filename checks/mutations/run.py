"""Runs the tables of checks/mutations.sh: FOLDER COPY [PATTERN].

A rule has a `name`; `old` stands once in `file` and becomes `new`; then `cargo test TEST`, with `env`
set, has to fail. `short` marks those that every run of CI tries.
"""

import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

# Optimising costs more than it gives where every run compiles anew.
PLAIN = ["--config", "profile.dev.package.understory-commons.opt-level=0"]
QUICK = [*PLAIN, "--config", "profile.dev.package.understory-swarm.opt-level=0"]
# A test may also hang without a rule.
PATIENCE_S = 900


def cargo(copy, rule, quick):
    """Exit code (nothing if it did not end) and what was printed."""
    command = ["cargo", "test", *quick, *rule["test"].split()]
    env = os.environ | rule.get("env", {})
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    # A group of its own: what cargo has started ends with it.
    with subprocess.Popen(command, cwd=copy, env=env, start_new_session=True, **streams) as running:
        try:
            output, _ = running.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            return None, ""
    return running.returncode, output


def what_succeeds(output):
    """Which tests failed, and what the first of them says."""
    names = sorted(set(re.findall(r"^test (\S+).* FAILED$", output, re.M)))
    said = re.search(r"panicked at [^\n]*\n(.+?)\n(note:|stack|----|\Z|\n)", output, re.S)
    lines = said.group(1).splitlines()[:12] if said else []
    return ", ".join(names or ["(did not end)"]) + "".join(f"\n         {line[:220]}" for line in lines)


def try_rule(copy, rule):
    """Whether a test fails without the rule, and what to say about it."""
    path = copy / rule["file"]
    source = path.read_text()
    found = source.count(rule["old"])
    if found != 1:
        return False, f"the patch no longer applies: its text is {found} times in {rule['file']}"
    path.write_text(source.replace(rule["old"], rule["new"]))
    try:
        code, output = cargo(copy, rule, QUICK)
    finally:
        path.write_text(source)
    if "could not compile" in output:
        return False, "does not compile without it:\n" + output[-2000:]
    if code == 0:
        return False, "no test fails"
    return True, what_succeeds(output)


def check_whole(copy, rules):
    """The tests pass with every rule in place, and each filter names some."""
    for rule in {(r["test"], str(r.get("env"))): r for r in rules}.values():
        # What explores much is optimised as it is for everybody.
        code, output = cargo(copy, rule, PLAIN if "::model" in rule["test"] else QUICK)
        if code != 0:
            sys.exit(f"with every rule in place, {rule['test']} fails:\n{output[-3000:]}")
        if not re.search(r"test result: ok\. [1-9]", output):
            sys.exit(f"{rule['test']} runs nothing")


def main():
    folder, copy, word = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    tables = [tomllib.loads(table.read_text()) for table in sorted(folder.glob("*.toml"))]
    rules = [rule for table in tables for rule in table["rule"]]
    full = os.environ.get("UNDERSTORY_CI_FULL") == "1"
    chosen = [r for r in rules if re.search(word, r["name"]) and (word or full or r.get("short"))]
    # A run that was ended may have left something built without a rule.
    for file in {r["file"] for r in rules}:
        os.utime(copy / file)
    check_whole(copy, chosen)
    missed = 0
    for rule in chosen:
        noticed, what = try_rule(copy, rule)
        missed += not noticed
        print(f"{'noticed' if noticed else 'MISSED '}  {rule['name']}: {what}", flush=True)
    print(f"{len(chosen) - missed} passed, {missed} failed")
    sys.exit(missed > 0 or not chosen)


main()
