#!/usr/bin/env bash
# Real processes: a peer trains in a file system that becomes full. It says so, and when there is
# room again it goes on by itself to the end of the run. Needs to mount a tmpfs, which takes root.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
disk=$work/disk
mkdir "$disk"
mount -t tmpfs -o size=6m understory-check "$disk" 2>/dev/null || skip "no tmpfs can be mounted here"
before_cleanup() { umount -l "$disk"; }

make_text "$work/text"
small_config "$work/text" 6 16 1 >"$work/config.toml"
# So that nothing but the disk holds it.
sed -i 's/^keep_every.*/keep_every = 1/' "$work/config.toml"

"$program" swarm start "$work/config.toml" --dir "$disk/peer" --bind 127.0.0.1:0 --threads 1 --once \
  --json >"$work/peer.log" 2>"$work/peer.err" &
peer=$!
pids+=("$peer")

says_full() { grep -qs 'No space left on device' "$work/peer.log"; }
says_again() { grep -s 'No space left on device' "$work/peer.log" | grep -q 'tried again'; }
goes_on() { is_alive "$peer" && ! has_finished "$work/peer.log"; }
ended_well() { wait "$peer"; }
is_whole() { "$program" verify "$disk/peer" --all; }

check "the peer says that the disk is full" wait_until 120 says_full
check "… and that it tries again" says_again
sleep 8
check "it waits and does not end" goes_on
mount -o remount,size=400m "$disk"
check "with room it goes on by itself to the end" wait_until 180 has_finished "$work/peer.log"
check "it ends in order" ended_well
check "what it stored is whole" is_whole
finish
