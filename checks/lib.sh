# Shared by the checks; sourced, not run. Each check works in its own temporary folder ($work) and
# ends with `N passed, N failed`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/understory-check.XXXXXX")
passed=0 failed=0
pids=()

cleanup() {
  local pid
  for pid in "${pids[@]}"; do
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  if declare -F before_cleanup >/dev/null; then before_cleanup || true; fi
  # What a failed check left is the evidence; KEEP=1 keeps it always.
  if [ "$failed" -eq 0 ] && [ -z "${KEEP:-}" ]; then rm -rf "$work"; else echo "kept: $work" >&2; fi
}
trap cleanup EXIT

skip() {
  echo "skipped: $1"
  exit 0
}

# check NAME COMMAND…: counts whether the command succeeds.
check() {
  local name=$1
  shift
  if "$@" >"$work/check.log" 2>&1; then
    passed=$((passed + 1))
    echo "ok      $name"
  else
    failed=$((failed + 1))
    echo "FAILED  $name"
    tail -n 20 "$work/check.log" | sed 's/^/        /'
  fi
}

finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}

# The program: $UNDERSTORY, or built here.
understory() { "$program" "$@"; }
program=${UNDERSTORY:-}
if [ -z "$program" ]; then
  (cd "$root" && cargo build --release --quiet -p understory)
  program=${CARGO_TARGET_DIR:-$root/target}/release/understory
fi

# Real text of about a megabyte: this project's own sources.
make_text() {
  mkdir -p "$1"
  local file
  while read -r file; do
    cp "$root/$file" "$1/$(tr / _ <<<"$file").txt"
  done < <(cd "$root" && find crates -name '*.rs' -not -path '*/target/*' | LC_ALL=C sort)
}

# small_config TEXT ROUNDS STEPS: a run whose rounds take a second or so.
small_config() {
  cat <<TOML
name = "check"
[data]
paths = ["$1"]
[data.options]
vocab = 512
held_out_every = 20
[model]
dim = 64
layers = 2
heads = 4
kv_heads = 2
ffn = 160
context = 128
[inner]
seq = 64
batch = 4
[rounds]
rounds = $2
steps_min = $3
steps_max = $3
keep_every = 8
commit_timeout_seconds = 8.0
view_timeout_seconds = 2.0
audit_timeout_seconds = 8.0
min_members = ${4:-2}
TOML
}

# wait_until SECONDS COMMAND…: until the command succeeds.
wait_until() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do
    if [ "$SECONDS" -ge "$until" ]; then return 1; fi
    sleep 0.2
  done
}

# The root of the newest model of the peer in folder $1.
model_of() { cat "$1/store/refs/model"; }

# Whether all folders hold the same newest model.
same_root() {
  local first peer
  first=$(model_of "$1") || return 1
  for peer in "$@"; do
    echo "$peer $(model_of "$peer")"
    [ "$(model_of "$peer")" = "$first" ] || return 1
  done
}

has_ticket() { grep -qs '"event":"started"' "$1"; }
ticket_in() { sed -n 's/.*"ticket":"\([^"]*\)".*/\1/p' "$1" | head -n 1; }
has_invitations() { grep -qs '"event":"invitations"' "$1"; }
# The invitations that nobody has used, one a line, as the log $1 had them first.
invitations_in() {
  grep -m 1 '"event":"invitations"' "$1" | grep -o 'understory2-secret-[a-z2-7]*'
}
has_finished() { grep -qs '"notice":"finished"' "$1"; }
has_model() { [ -e "$1/store/refs/model" ]; }
is_alive() { kill -0 "$1" 2>/dev/null; }
