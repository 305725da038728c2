#!/usr/bin/env bash
# Real processes: five peers, one of them with a clock that is three hours behind and one that is a
# day ahead. Each of the two says of its own clock that it is wrong, and nobody else does. Needs a C
# compiler and a loader that knows LD_PRELOAD.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
command -v cc >/dev/null || skip "no C compiler"
cat >"$work/shim.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, now);
  const char *shift = getenv("SHIFT");
  if (clock == CLOCK_REALTIME && shift) now->tv_sec += atol(shift);
  return result;
}
C
cc -shared -fPIC -o "$work/shim.so" "$work/shim.c" -ldl 2>/dev/null || skip "no shared library can be made"

make_text "$work/text"
small_config "$work/text" 4 8 5 >"$work/config.toml"
shift_of=(0 0 0 0 -10800 86400)
start_peer() { # NUMBER ARGUMENTS…
  local number=$1
  shift
  SHIFT=${shift_of[number]} LD_PRELOAD=$work/shim.so "$program" swarm "$@" --dir "$work/peer-$number" \
    --bind 127.0.0.1:0 --threads 1 --json >"$work/peer-$number.log" 2>"$work/peer-$number.err" &
  pids[number]=$!
}
start_peer 1 start "$work/config.toml" --friends 4
wait_until 120 has_invitations "$work/peer-1.log"
mapfile -t invitations < <(invitations_in "$work/peer-1.log")
for number in 2 3 4 5; do
  start_peer "$number" join "${invitations[number - 2]}"
done

says() { grep -qs "\"event\":\"clock\",\"ahead_s\":$2" "$work/peer-$1.log"; }
says_nothing() { ! grep -qs '"event":"clock"' "$work/peer-$1.log"; }
check "peer 4 says that its clock is three hours behind" wait_until 120 says 4 '-1[01][78]'
check "peer 5 says that its clock is a day ahead" wait_until 120 says 5 '86[34]'
for number in 1 2 3 4 5; do
  check "peer $number takes part to the end" wait_until 240 has_finished "$work/peer-$number.log"
done
for number in 1 2 3; do
  check "peer $number says nothing of its clock" says_nothing "$number"
done
in_words() { "$program" swarm status "$work/peer-4" | grep "behind that of [34] others"; }
check "swarm status says it in words" in_words
finish
