#!/usr/bin/env bash
# Takes rules of the protocol away in a copy of the source, one at a time, and runs the tests that
# are meant to notice. Prints for each rule which test failed without it, and what then succeeds.
# Fails if a rule can go without a test failing, if its text is no longer in the source, or if the
# tests fail with every rule in place.
#
# A handful by default; all with UNDERSTORY_CI_FULL=1; with an argument those whose name has that word
# or pattern. The rules are in checks/mutations/*.toml.
# UNDERSTORY_MUTATIONS_DIR keeps the copy and what was built (default: a folder that is removed).
set -euo pipefail
cd "$(dirname "$0")/.."
if ! python3 -c 'import tomllib' 2>/dev/null; then
  echo "skipped: no python3 with tomllib (3.11)"
  exit 0
fi
if [ -n "${UNDERSTORY_MUTATIONS_DIR:-}" ]; then
  work=$UNDERSTORY_MUTATIONS_DIR
else
  work=$(mktemp -d "${TMPDIR:-/tmp}/understory-mutations.XXXXXX")
  trap 'rm -rf "$work"' EXIT
fi
mkdir -p "$work/source"
# One function changes at a time: that is what incremental compilation is for.
export CARGO_TARGET_DIR=$work/target CARGO_INCREMENTAL=1 CARGO_PROFILE_DEV_DEBUG=0
git ls-files -z | while IFS= read -r -d '' file; do
  if [ -f "$file" ]; then printf '%s\0' "$file"; fi
done | tar --null -T - -cf - | tar xf - -C "$work/source"
python3 checks/mutations/run.py checks/mutations "$work/source" "${1:-}"
