#!/usr/bin/env bash
# Real processes against a real attacker: honest peers train, and one process beside them
# (crates/understory/examples/rogue) speaks the same bytes with a key of its own and misbehaves.
#
#   repair  F1, F2  proposes records that claim culprits, voters or an end
#   erase   F3, F4  names what others need as its own work, and as missing
#   drip    F5      serves a byte every three seconds, and reads as slowly
#   audits  F5      the same, but for its updates, so that its work counts and only audits wait
#   idle    F15     forty keys that join again and again and do nothing
#
# adversary.sh [PART…]: by default all. UNDERSTORY and ROGUE name the two programs; without them they
# are built. UNDERSTORY_CI_FULL=1: longer runs. Figures are printed behind `figure`.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
full=${UNDERSTORY_CI_FULL:-0}
rogue=${ROGUE:-${EXAMPLES:+$EXAMPLES/rogue}}
if [ -z "$rogue" ] || [ ! -x "$rogue" ]; then
  (cd "$root" && cargo build --release --quiet -p understory --example rogue)
  rogue=${CARGO_TARGET_DIR:-$root/target}/release/examples/rogue
fi
# Longer runs say more and take longer.
long() { if [ "$full" = 1 ]; then echo "$2"; else echo "$1"; fi; }
make_text "$work/text"

# begin PART ROUNDS FRIENDS: peer 1 founds a run; $invitations has a line for each friend.
begin() {
  part=$1 run=$work/$1
  mkdir -p "$run"
  small_config "$work/text" "$2" 12 "$(($3 + 1))" |
    sed -e 's/^commit_timeout.*/commit_timeout_seconds = 5.0/' \
      -e 's/^view_timeout.*/view_timeout_seconds = 1.0/' \
      -e 's/^audit_timeout.*/audit_timeout_seconds = 6.0/' >"$run/config.toml"
  peer 1 start "$run/config.toml" --friends "$3"
  if ! wait_until 60 has_invitations "$(log 1)"; then
    check "$part: the run is founded" tail -n 5 "$run/peer-1.err" /dev/missing
    return 1
  fi
  mapfile -t invitations < <(invitations_in "$(log 1)")
}

log() { echo "$run/peer-$1.log"; }

# peer NUMBER ARGUMENTS…: an honest peer.
peer() {
  local number=$1
  shift
  "$program" swarm "$@" --dir "$run/peer-$number" --bind 127.0.0.1:0 --threads 1 --json \
    >>"$run/peer-$number.log" 2>>"$run/peer-$number.err" &
  pids[number]=$!
}

# attack NAME ARGUMENTS…: an attacker, with its folder outside of the run's.
attack() {
  local name=$1
  shift
  "$rogue" "$@" --dir "$work/$part-$name" >>"$run/$name.out" 2>>"$run/$name.err" &
  attackers+=("$!")
  pids[100 + ${#attackers[@]}]=$!
}
attackers=()

# Ends everything that this part began.
stop_all() {
  local pid
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do
    wait_until 20 is_gone "$pid" || kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  pids=() attackers=()
}
is_gone() { ! kill -0 "$1" 2>/dev/null; }

# The newest height that honest peer $1 has decided.
height() {
  local decided
  decided=$(grep -o '"notice":"decided","height":[0-9]*' "$(log "$1")" | tail -n 1) || true
  echo "${decided##*:}"
}
is_at() { [ "$(height 1)" -ge "$1" ] 2>/dev/null; }

# pace FROM TO: milliseconds a height takes between two heights of peer 1, in $ms; fails if they do
# not come in two minutes.
pace() {
  local began
  wait_until 120 is_at "$1" || return 1
  began=$(date +%s%3N)
  wait_until 120 is_at "$2" || return 1
  ms=$((($(date +%s%3N) - began) / ($2 - $1)))
}
# The machine's load says what a pace is worth.
load() { echo "figure  $part: load $(cut -d ' ' -f 1 /proc/loadavg) on $(nproc) cores"; }
percent() { echo $((100 * $1 / ($2 > 0 ? $2 : 1))); }

all_finished() { # NUMBERS…
  local number
  for number in "$@"; do has_finished "$(log "$number")" || return 1; done
}
all_alive() {
  local number
  for number in "$@"; do is_alive "${pids[number]}" || { tail -n 3 "$run/peer-$number.err"; return 1; }; done
}
one_root() {
  local number folders=()
  for number in "$@"; do folders+=("$run/peer-$number"); done
  same_root "${folders[@]}"
}
key_of() { sed -n 's/.*"event":"started".*"peer":"\([0-9a-f]*\)".*/\1/p' "$(log "$1")" | head -n 1; }
key_of_attacker() { sed -n 's/^key //p' "$run/$1.out" | head -n 1; }
# Nobody honest is out in anybody's view.
none_ejected() {
  local number key
  for number in "$@"; do
    key=$(key_of "$number")
    if [ -z "$key" ]; then echo "no key of peer $number"; return 1; fi
    if grep -h '"notice":"ejected"' "$run"/peer-*.log | grep "\"peer\":\"$key\""; then return 1; fi
  done
}
confirmed() { understory verify "$run" --all; }
# The same where an attacker's contribution may have gone without an audit: what it made up is found
# here at the latest, and everything of the honest is as they said.
honest_confirmed() { # NUMBERS…
  local number
  understory verify "$run" --all >"$run/verify" || true
  for number in "$@"; do
    grep -E "^round +[0-9]+ +$(key_of "$number" | cut -c 1-8) " "$run/verify" >"$run/verify-$number" || return 1
    if grep -v ' confirmed$' "$run/verify-$number"; then return 1; fi
  done
  grep -E '^roots +([0-9]+) of \1 added up' "$run/verify"
}

# What has to hold however a run was attacked; the honest peers are given.
holds() {
  check "$part: every honest peer reaches the end" wait_until "$(long 150 400)" all_finished "$@"
  check "$part: no honest process has ended" all_alive "$@"
  check "$part: all honest peers hold one root" wait_until 30 one_root "$@"
  check "$part: nobody honest is out" none_ejected "$@"
}

part_repair() {
  local rounds key
  rounds=$(long 20 80)
  begin repair "$rounds" 3 || return 0
  peer 2 join "${invitations[0]}"
  peer 3 join "${invitations[1]}"
  attack forger repair "${invitations[2]}" --from 3 --loud $((rounds - 5))
  holds 1 2 3
  key=$(key_of_attacker forger)
  refused() { # WHY
    grep -h '"notice":"misbehaved"' "$run"/peer-*.log | grep "$key" | grep -o '"why":".*"'
  }
  names_them() { [ "$(refused | sort -u | wc -l)" -ge 3 ] || { refused; return 1; }; }
  echo "figure  repair: $(grep -c '^proposed' "$run/forger.out") forged proposals, $(refused | wc -l)" \
    "refusals of $(refused | sort -u | wc -l) kinds"
  check "repair: what was refused is named, and why" names_them
  stop_all
  check "repair: the run is confirmed, every contribution re-run" confirmed
}

# Every object that an attacker named is still there: what the run consists of in every store, the
# work of others in every store that ever had it. (Trails go with their round for everybody.)
still_there() { # NUMBERS…
  local number hash what lost=0
  cat "$run"/*.out | sed -n 's/^named //p' | grep -v trail | sort -u >"$run/named"
  [ -s "$run/named" ] || { echo "nothing was named"; return 1; }
  while read -r hash what; do
    for number in "$@"; do
      # Carries come only to who audits them.
      case $what in "another's "*) had_object "$number" "$hash" || continue ;; esac
      has_object "$number" "$hash" || { echo "$hash ($what) is not in the store of peer $number"; lost=1; }
    done
  done <"$run/named"
  [ "$lost" -eq 0 ]
}
objects_of() { find "$run/peer-$1/store" -type f 2>/dev/null | sed 's/.*store//; s/[^0-9a-f]//g'; }
# (Not `grep -q`: it would end before `find` does, and that is a failure of the pipe.)
has_object() { objects_of "$1" | grep "$2$" >/dev/null; }
had_object() { grep -q "$2$" "$run/had-$1"; }
# Writes down again and again what the stores have.
watch_stores() { # NUMBERS…
  local number
  while sleep 0.5; do
    for number in "$@"; do objects_of "$number" >>"$run/had-$number" || true; done
  done
}

part_erase() {
  local rounds watcher
  rounds=$(long 22 60)
  begin erase "$rounds" 3 || return 0
  peer 2 join "${invitations[0]}"
  peer 3 join "${invitations[1]}"
  watch_stores 1 2 3 &
  watcher=$!
  attack updates erase "${invitations[2]}" --from 2 --seed 1
  # Keys are free: who is out for naming somebody else's work comes again as a newcomer.
  wait_until 60 has_ticket "$(log 1)" || true
  attack trails erase "$(ticket_in "$(log 1)")" --from 3 --part trail --seed 2
  attack carries erase "$(ticket_in "$(log 1)")" --from 3 --part carry --copies --seed 3
  holds 1 2 3
  echo "figure  erase: $(cat "$run"/*.out | grep -c '^named') names"
  kill "$watcher" 2>/dev/null || true
  wait "$watcher" 2>/dev/null || true
  check "erase: what was named is still in every honest store that had it" still_there 1 2 3
  stop_all
  check "erase: every honest contribution is confirmed, and the sums are right" honest_confirmed 1 2 3
}

# drip_run NAME WORDS ARGUMENTS…: the pace of a run before and with a dripper.
drip_run() {
  local name=$1 words=$2 before after key
  shift 2
  begin "$name" "$(long 28 90)" 3 || return 0
  peer 2 join "${invitations[0]}"
  peer 3 join "${invitations[1]}"
  attack dripper drip "${invitations[2]}" --from 9 "$@"
  load
  if ! pace 2 9; then check "$part: the run begins" false; return 0; fi
  before=$ms
  check "$part: rounds go on beside $words" pace 10 18
  after=$ms
  check "$part: and go on later" pace 20 26
  echo "figure  $part: $before ms a round before, $after ms in the first eight rounds with it" \
    "($(percent "$before" "$after") %), $ms ms later ($(percent "$before" "$ms") %)"
  load
  key=$(key_of_attacker dripper)
  check "$part: it loses standing" loses "$key"
  holds 1 2 3
  sed -n 's/^height/figure  '"$part"': dripper at height/p' "$run/dripper.out" | tail -n 3
  stop_all
  check "$part: the run is confirmed" confirmed
}
# What it has done or was granted counts less than at the beginning.
loses() {
  grep -o "\"peer\":\"$1\",\"steps\":[0-9]*" "$(log 1)" | sed 's/.*://' >"$run/standing"
  awk 'NR == 1 { first = $1 } { last = $1 } END { print first, last; exit !(last < first) }' "$run/standing"
}

part_drip() { drip_run drip "a provider that drips all it has"; }
part_audits() { drip_run audits "one that drips what audits need" --audits; }

part_idle() {
  local before after key joined from number peak
  begin idle 1000 2 || return 0
  peer 2 join "${invitations[0]}"
  peer 3 join "${invitations[1]}"
  load
  if ! pace 2 12; then check "idle: the run begins" false; return 0; fi
  before=$ms
  # shellcheck disable=SC2086 # IDLE_WAY: `--quiet` for keys that only ask to be let in.
  attack idlers idle "$(ticket_in "$(log 1)")" --keys "${IDLERS:-40}" ${IDLE_WAY:-}
  some_joined() { [ "$(grep -c '"notice":"joined"' "$(log 1)")" -ge 5 ]; }
  check "idle: some of forty keys are let in" wait_until 60 some_joined
  from=$(height 1)
  check "idle: rounds go on" pace $((from + 1)) $((from + 1 + $(long 12 40)))
  after=$ms
  echo "figure  idle: $before ms a round before, $after ms with forty idle keys" \
    "($(percent "$before" "$after") %)"
  load
  from=$(height 1) joined=$(grep -c '"notice":"joined"' "$(log 1)")
  peer 4 join "$(ticket_in "$(log 1)")"
  works() {
    key=$(key_of 4)
    [ -n "$key" ] && grep '"notice":"decided"' "$(log 1)" | grep -q "\"contributions\":\[.*\"$key\",[0-9]*\].*\"ejected\""
  }
  connected() {
    local number
    for number in 1 2 3; do
      grep '"event":"connection"' "$(log 4)" | grep "$(key_of "$number")" | grep -q '"up":true' || return 1
    done
  }
  check "idle: an honest newcomer is connected with every member" wait_until 60 connected
  # Seats are drawn by lot among all that ask: one in 41 is its own, and each is free again soon.
  if [ "$full" = 1 ]; then
    check "idle: it gets in and contributes" wait_until 900 works
  else
    wait_until 60 works || true
  fi
  echo "figure  idle: $(works && echo "its work counted" || echo "it had no seat yet") after" \
    "$(($(height 1) - from)) rounds, in which $(($(grep -c '"notice":"joined"' "$(log 1)") - joined)) seats were drawn"
  check "idle: seats change hands" [ "$(grep -c '"notice":"joined"' "$(log 1)")" -gt "$joined" ]
  for number in 1 2 3; do
    peak=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/${pids[number]}/status")
    echo "figure  idle: peer $number had $((peak / 1024)) MiB at most"
    check "idle: the memory of peer $number is bounded" [ "$peak" -lt 600000 ]
  done
  check "idle: no honest process has ended" all_alive 1 2 3 4
  check "idle: nobody honest is out" none_ejected 1 2 3 4
  stop_all
  # The run has not ended, and one store need not hold all: unavailable (2) is no damage (1).
  undamaged() {
    local code=0
    understory verify "$run" --sample 20% --seed 1 || code=$?
    [ "$code" -ne 1 ]
  }
  check "idle: nothing in the run so far is wrong or damaged" undamaged
}

for what in "${@:-repair erase drip audits idle}"; do
  for one in $what; do
    began=$SECONDS
    "part_$one"
    stop_all
    echo "figure  $one: $((SECONDS - began)) s"
  done
done
finish
