#!/usr/bin/env bash
# Takes rules of the protocol away in a copy of the source, one at a time, and runs the tests that
# are meant to notice. Prints a table: the rule, whether a test failed without it, and which.
# Fails if a rule can go without a test failing, if its text is no longer in the source, or if the
# tests fail with every rule in place.
#
# A handful by default; all with UNDERSTORY_CI_FULL=1; those whose name contains a word with that
# word as argument. The rules are in checks/mutations/rules.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d "${TMPDIR:-/tmp}/understory-mutations.XXXXXX")
trap 'rm -rf "$work"' EXIT
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target} CARGO_INCREMENTAL=0
git ls-files -z | while IFS= read -r -d '' file; do
  if [ -f "$file" ]; then printf '%s\0' "$file"; fi
done | tar --null -T - -cf - | tar xf - -C "$work"
python3 checks/mutations/run.py checks/mutations/rules.toml "$work" "${1:-}"
