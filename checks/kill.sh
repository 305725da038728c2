#!/usr/bin/env bash
# Real processes: four peers train; one of them is killed with `kill -9` at random moments, again
# and again, and started again each time. The others go on, it rejoins by itself, and in the end all
# hold the same root and no store is damaged.
#
# kill.sh [SEED]: the moments follow from it; it is printed. ROUNDS, STEPS and KILLS can be set.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
RANDOM=${1:-$$}
echo "seed ${1:-$$}"
kills=${KILLS:-10}
run=$work/run
make_text "$work/text"
small_config "$work/text" "${ROUNDS:-40}" "${STEPS:-24}" 4 >"$work/config.toml"

start_peer() { # NUMBER ARGUMENTS…
  local number=$1
  shift
  "$program" swarm "$@" --dir "$run/peer-$number" --bind 127.0.0.1:0 --threads 1 --json \
    >>"$work/peer-$number.log" 2>>"$work/peer-$number.err" &
  pids[number]=$!
}

mkdir -p "$run"
start_peer 1 start "$work/config.toml" --friends 3
wait_until 120 has_invitations "$work/peer-1.log" || { cat "$work/peer-1.err"; false; }
number=2
for invitation in $(invitations_in "$work/peer-1.log"); do
  start_peer "$number" join "$invitation"
  number=$((number + 1))
done
check "three friends are invited" [ "$number" -eq 5 ]
wait_until 120 has_model "$run/peer-1" || { echo "no first round" >&2; failed=1; exit 1; }

all_finished() {
  local number
  for number in 1 2 3 4; do has_finished "$work/peer-$number.log" || return 1; done
}
others_finished() { has_finished "$work/peer-1.log"; }

killed=0
while [ "$killed" -lt "$kills" ] && ! others_finished; do
  sleep "$((RANDOM % 3)).$((RANDOM % 10))"
  kill -9 "${pids[2]}"
  wait "${pids[2]}" 2>/dev/null || true
  killed=$((killed + 1))
  sleep "0.$((RANDOM % 10))"
  start_peer 2 join
done
echo "killed $killed times"

check "it was killed while the run went on" [ "$killed" -ge 3 ]
check "every peer finishes, the killed one too" wait_until 300 all_finished
check "the others never stopped" is_alive "${pids[1]}"
same_everywhere() { same_root "$run"/peer-*; }
check "all hold the same root" wait_until 30 same_everywhere
for number in 1 2 3 4; do
  kill -TERM "${pids[number]}"
  wait "${pids[number]}" 2>/dev/null || true
done
check "no peer accused an honest one" bash -c "! grep -l '\"notice\":\"ejected\"' $work/peer-*.log"
check "the run is confirmed, every contribution re-run" understory verify "$run" --all
# A store that fetched a checkpoint need not hold what came before it: unavailable (2) is true
# there, damage (1) never.
for number in 1 2 3 4; do
  undamaged() {
    local code=0
    understory verify "$run/peer-$number" --sample 5% --seed 1 || code=$?
    [ "$code" -ne 1 ]
  }
  check "no damage in the store of peer $number" undamaged
done
finish
