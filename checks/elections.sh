#!/usr/bin/env bash
# Counts fresh random elections and compares with other programs: elections.sh [COUNT] [SEED]
#
# PYTHON names a Python with `pref-voting` and `votelib`; belenios-tool is asked too where there is
# one. EXAMPLES names the folder of the commons crate's built examples; `tally` is built where it is not
# there. The seed is printed, so a difference can be counted again.
set -euo pipefail
UNDERSTORY=${UNDERSTORY:-none}
. "$(dirname "$0")/lib.sh"
count=${1:-3000} seed=${2:-$(date +%s)}
python=${PYTHON:-python3}
if ! "$python" -c 'import pref_voting, votelib' 2>/dev/null; then
  skip "PYTHON=$python has no pref-voting with votelib"
fi
tally=${EXAMPLES:-}/tally
if [ ! -x "$tally" ]; then
  (cd "$root" && cargo build --release --quiet -p understory-decide --example tally)
  tally=${CARGO_TARGET_DIR:-$root/target}/release/examples/tally
fi
check "other programs agree on $count elections of seed $seed" \
  "$python" "$root/oracle/elections.py" check "$tally" "$seed" "$count"
tail -n 3 "$work/check.log"
finish
