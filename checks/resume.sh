#!/usr/bin/env bash
# Ctrl-C in the middle of a demo and `--resume` give the same bits as a demo left alone.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-6} steps=${STEPS:-16}
make_text "$work/text"
demo() { # FOLDER LOG ARGUMENTS…
  local folder=$1 log=$2
  shift 2
  exec "$program" demo --dir "$folder" --no-page --json "$@" >"$log" 2>"$log.err"
}
fixed=(--rounds "$rounds" --steps "$steps" --seed 5 --data "$work/text")

(demo "$work/whole" "$work/whole.log" "${fixed[@]}") &
pids[1]=$!
check "a demo left alone ends well" wait "${pids[1]}"

# Job control gives the background process its own SIGINT.
set -m
(demo "$work/cut" "$work/cut.log" "${fixed[@]}") &
pids[2]=$!
set +m
wait_until 300 has_model "$work/cut/peer-1" || { echo "no first round" >&2; failed=1; exit 1; }
kill -INT "${pids[2]}"
code=0
wait "${pids[2]}" || code=$?
check "Ctrl-C stops it in order (130)" [ "$code" -eq 130 ]
not_yet_there() { ! same_root "$work/whole/peer-1" "$work/cut/peer-1"; }
check "it was in the middle" not_yet_there
(demo "$work/cut" "$work/resumed.log" --resume) &
pids[3]=$!
check "--resume goes on to the end" wait "${pids[3]}"

(demo "$work/cut" "$work/again.log" --resume) &
pids[4]=$!
check "--resume of a demo that is finished says so and ends" \
  timeout 60 tail --pid="${pids[4]}" -f /dev/null
check "with all that it found" grep -q '"agree"' "$work/again.log"

check "both end at the same root" same_root "$work"/{whole,cut}/peer-{1,2,3}
check "the interrupted run is confirmed" understory verify "$work/cut" --sample 20% --seed 1
finish
