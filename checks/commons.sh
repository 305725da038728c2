#!/usr/bin/env bash
# The walk-through of docs/commons.md with real processes: three people found a commons, a fourth
# joins, they adopt a charter and elect stewards, the operator is killed, they go on without it,
# two of them fork. UNDERSTORY names the program. Ends with `commons: N passed`.
set -euo pipefail
cd "$(dirname "$0")/.."
understory=${UNDERSTORY:-target/release/understory}
understory=$(realpath "$understory")
work=$(mktemp -d)
export UNDERSTORY_PASSPHRASE=walk-through
pids=() passed=0

end() {
  local pid
  for pid in "${pids[@]}"; do
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap end EXIT

ok() {
  passed=$((passed + 1))
  echo "ok      $1"
}

fail() {
  echo "FAILED  $1"
  tail -n 5 "$work"/*.log 2>/dev/null || true
  exit 1
}

# as NAME COMMAND…: with this person's keys and folder.
as() {
  local who=$1
  shift
  "$understory" "$@" --keys "$work/keys-$who" --dir "$work/$who"
}

# json NAME FIELD COMMAND…: one field of what the command prints with --json.
json() {
  local who=$1 field=$2
  shift 2
  as "$who" "$@" --json | python3 -c "import json,sys; print(json.loads(sys.stdin.read().splitlines()[-1])$field)"
}

# until WHAT COMMAND…: waits at most a minute for the command to succeed.
until_true() {
  local what=$1
  shift
  for _ in $(seq 120); do
    if "$@" >/dev/null 2>&1; then
      ok "$what"
      return
    fi
    sleep 0.5
  done
  fail "$what"
}

serve() {
  # Before the program: on a busy machine it may begin after it is looked for.
  : >"$work/$1.log"
  # Not through a function: the process to kill is the program itself.
  "$understory" commons serve --bind 127.0.0.1:0 --heartbeat 1 --no-page \
    --keys "$work/keys-$1" --dir "$work/$1" >"$work/$1.log" 2>&1 &
  pids+=("$!")
  eval "pid_$1=$!"
  for _ in $(seq 60); do
    ticket=$(sed -n 's/^others join with: understory commons join //p' "$work/$1.log")
    [ -n "$ticket" ] && return
    sleep 0.5
  done
  fail "$1 serves"
}

members() { [ "$(json "$1" '["members"].__len__()' commons show members)" -eq "$2" ]; }
is_member() { as "$1" commons show members | grep -q "  $2 " && ! as "$1" commons show members | grep "  $2 " | grep -q "not a member"; }
question() { json "$1" '["questions"][0]["proposal"]' tally; }
has_question() { as "$1" tally "$2"; }
passed_by() { as "$1" tally "$2" | grep -q 'passed: [^,]*'; }
in_force() { as "$1" tally "$2" | head -n 1 | grep 'passed: ' | grep -qv 'in force from'; }
digest() { as "$1" commons hash | grep -v '^log'; }
voted() { [ "$(json "$1" '["counts"]' tally "$2" | grep -o "'ballots': [0-9]*" | awk '{n += $2} END {print n}')" -ge "$3" ]; }

for who in anna bert cleo dora; do
  "$understory" key create --keys "$work/keys-$who" >/dev/null
done
card() { "$understory" key show --keys "$work/keys-$1" --json | sed 's/.*"card":"\([^"]*\)".*/\1/'; }
witness() { "$understory" commons witness-key --keys "$work/keys-$1"; }

cat >"$work/rules.toml" <<'RULES'
notice = 2
exit_period = 4
appeal_period = 4
recovery_delay = 2
quorum = [1, 1]
RULES
as anna commons create Garden --me Anna --rules "$work/rules.toml" \
  --founder "Bert=$(card bert)" --founder "Cleo=$(card cleo)" \
  --witness "anna=$(witness anna)" --witness "bert=$(witness bert)" --witness "cleo=$(witness cleo)" >/dev/null
ok "three people found a commons"
"$understory" commons operator-key --keys "$work/keys-bert" >"$work/bert.operator"

serve anna
tickets=$ticket
for who in bert cleo; do
  as "$who" commons join "$tickets" >/dev/null
  serve "$who"
done
until_true "two of three witnesses cosign" grep -q 'marked 20' "$work/bert.log"

as dora commons join "$tickets" >/dev/null
as dora commons introduce Dora >/dev/null
serve dora
until_true "a fourth joins and introduces herself" members anna 4
as anna commons vouch Dora >/dev/null
as bert commons vouch Dora >/dev/null
until_true "two vouches make her a member" is_member cleo Dora
as dora commons use "$(printf '%064d' 7)" >/dev/null
as dora commons house users >/dev/null
until_true "she uses what they make and sits in the users' house" \
  sh -c "\"$understory\" commons show members --dir \"$work/cleo\" | grep Dora | grep -q users"

# A small run: each peer writes down its work, and confirms what it computed itself.
mkdir -p "$work/text"
for file in crates/commons/src/*.rs crates/commons/src/*/*.rs; do
  cp "$file" "$work/text/$(tr / _ <<<"$file").txt"
done
cat >"$work/run.toml" <<RUN
name = "sapling"
[data]
paths = ["$work/text"]
[data.options]
vocab = 512
held_out_every = 10
held_out_bytes = 8192
[model]
dim = 32
layers = 1
heads = 2
kv_heads = 1
ffn = 64
context = 64
[inner]
seq = 64
batch = 2
[rounds]
rounds = 3
steps_min = 4
steps_max = 40
keep_every = 2
min_members = 3
RUN
"$understory" swarm start "$work/run.toml" --dir "$work/peer-anna" --bind 127.0.0.1:0 --once --threads 1 \
  --commons "$work/anna" --keys "$work/keys-anna" >"$work/run-anna.log" 2>&1 &
pids+=("$!")
trainers=("$!")
open_ticket() { sed -n 's/^ *understory swarm join \(understory2[a-z2-7]*\)$/\1/p' "$work/run-anna.log" | head -n 1; }
run_ticket() { [ -n "$(open_ticket)" ]; }
until_true "a run begins" run_ticket
for who in bert cleo; do
  "$understory" swarm join "$(open_ticket)" \
    --dir "$work/peer-$who" --bind 127.0.0.1:0 --once --threads 1 \
    --commons "$work/$who" --keys "$work/keys-$who" >"$work/run-$who.log" 2>&1 &
  pids+=("$!")
  trainers+=("$!")
done
until_true "its derivation is confirmed by two who computed it too" \
  sh -c "\"$understory\" commons show lineage --dir \"$work/dora\" | grep sapling | grep -q 'confirmed by 2'"
for pid in "${trainers[@]}"; do wait "$pid" || fail "a peer of the run ends well"; done
work_of() { as dora commons show log | grep -c "Work *$1"; }
for who in Anna Bert Cleo; do [ "$(work_of "$who")" -eq 1 ] || fail "$who's work is in the log once"; done
as dora commons verify >/dev/null || fail "the log with the run verifies"
ok "who did which work is in the log"
# The witnesses need a moment to cosign the last of what was said.
marks_confirmed() {
  "$understory" verify "$work/peer-anna" --all --commons "$work/dora" --keys "$work/keys-dora" >"$work/verify.log" 2>&1 &&
    grep -Eq '^marks +[1-9][0-9]* of [0-9]+ confirmed' "$work/verify.log"
}
until_true "the run's records are as three people marked them" marks_confirmed
[ "$(as dora commons show milestones | grep -c CONTRADICTION)" -eq 0 ] || fail "they say the same"
ok "the run's records are as they are marked in the log"
until_true "Dora re-ran it, and her word counts too" \
  sh -c "\"$understory\" commons show lineage --dir \"$work/bert\" | grep sapling | grep -q 'confirmed by 3'"

echo "We hold it together, and look after it." >"$work/charter.txt"
as cleo propose "A charter" --topic charter --option "$work/charter.txt" --open 12 >/dev/null
until_true "a charter is proposed" sh -c "\"$understory\" tally --dir \"$work/anna\" | grep -q charter"
charter=$(question anna)
for who in anna bert cleo dora; do
  until_true "$who has the question" has_question "$who" "$charter"
  as "$who" vote "$charter" 1 2 >/dev/null
done
until_true "both houses pass it and the time to leave is over" in_force dora "$charter"
until_true "everybody has its text" sh -c "\"$understory\" commons show charter --dir \"$work/anna\" | grep -q 'look after it'"

as bert propose "Stewards" --topic stewards --option Anna --option Bert --option Cleo --open 12 >/dev/null
until_true "an election is called" sh -c "\"$understory\" tally --dir \"$work/dora\" | grep -q Stewards"
election=$(question dora)
for who in anna bert cleo dora; do
  until_true "$who can vote" has_question "$who" "$election"
  as "$who" vote "$election" Bert Cleo Anna >/dev/null
done
until_true "stewards are elected" in_force cleo "$election"

kill -9 "$pid_anna"
size=$(json bert '["size"]' commons hash)
for who in bert cleo; do as "$who" commons operator "$(cat "$work/bert.operator")" >/dev/null; done
until_true "the operator was killed; two stewards name Bert, and the log goes on" \
  sh -c "tail -n 1 \"$work/bert.log\" | grep -q operating"
as dora commons affiliation "Wood and Sons" >/dev/null
until_true "what is said now gets its place" sh -c "\"$understory\" commons show members --dir \"$work/cleo\" | grep -q Wood"
[ "$(json cleo '["size"]' commons hash)" -gt "$size" ] || fail "the log has grown"

refused() {
  if as "$@" >"$work/refused" 2>&1; then return 1; fi
  grep -q 'hint:' "$work/refused"
}
refused dora vote "$charter" 9 || fail "a question that is closed or an option that is none is refused"
refused dora commons vouch Nobody || fail "an unknown member gets a hint"
refused dora commons join understory-commons1nonsense || fail "a damaged ticket is refused"
ok "bad input is refused with a hint"

equal() { [ "$(digest bert)" = "$(digest cleo)" ] && [ "$(digest bert)" = "$(digest dora)" ]; }
until_true "everybody computes the same views" equal
for who in bert cleo dora; do as "$who" commons verify >/dev/null || fail "$who verifies"; done
ok "every log verifies from its genesis"

# A stranger has a file and the commons' id, and nothing else.
id=$(json cleo '["commons"]' commons hash)
as cleo commons prove 1 --out "$work/one.tlog-proof" >/dev/null || fail "a statement is proven"
stranger() { (cd / && "$understory" commons check-proof "$@"); }
stranger "$work/one.tlog-proof" --commons "$id" | grep -q '^holds: statement 1 ' || fail "the proof holds"
python3 - "$work/one.tlog-proof" <<'BIT'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[data.index(b"index")-9] ^= 1
open(sys.argv[1] + ".changed", "wb").write(data)
BIT
status=0
stranger "$work/one.tlog-proof.changed" --commons "$id" >/dev/null || status=$?
[ "$status" -eq 1 ] || fail "one bit changed is refused"
last=$(($(json cleo '["size"]' commons hash) - 3))
until_true "a statement after the hand-over is witnessed" as cleo commons prove "$last" --out "$work/last.tlog-proof"
! stranger "$work/last.tlog-proof" --commons "$id" >/dev/null || fail "the genesis does not know the new operator"
stranger "$work/last.tlog-proof" --commons "$id" --operator "$(cat "$work/bert.operator")" >/dev/null || fail "its key does"
stranger "$work/last.tlog-proof" --dir "$work/dora" >/dev/null || fail "so does any member's log"
ok "proofs stand alone, and a changed one does not"

size=$(json cleo '["size"]' commons hash)
as cleo commons fork "Orchard" "$work/orchard" --with Dora >/dev/null
orchard() { "$understory" "$@" --keys "$work/keys-cleo" --dir "$work/orchard"; }
orchard commons verify | grep -q 'everything holds' || fail "the fork verifies with its history"
[ "$(orchard commons verify --json | grep -o '"statements":[0-9]*' | head -n 1)" = "\"statements\":$size" ] ||
  fail "the fork has the whole history"
orchard commons show members | grep -q 'Dora.*founder' || fail "Dora comes along"
ok "two of them fork, with the history"
orchard commons export "$work/tiles" >/dev/null
# The operator's signature and a witness's, and the policy by which another program judges them.
[ "$(grep -c '^— ' "$work/tiles/checkpoint")" -ge 2 ] || fail "the exported checkpoint is cosigned"
grep -q '^quorum all$' "$work/tiles/policy" || fail "the witness policy is exported"
ok "the log is exported as tiles with a cosigned checkpoint and the policy"
orchard commons show health | grep -q 'ONE WITNESS' || fail "health says where one witness decides the time"
! as bert commons show health | grep -q 'ONE WITNESS' || fail "and where none does"
ok "health says who decides the time"

kill -9 "$pid_cleo"
as cleo commons verify >/dev/null || fail "a killed member's log holds"
serve cleo
as dora commons conflict "apples" >/dev/null
until_true "a killed member comes back and catches up" \
  sh -c "\"$understory\" commons show members --dir \"$work/cleo\" | grep -q apples"
echo "commons: $passed passed"
