#!/usr/bin/env bash
# Two machines, as far as the kernel can pretend: two network namespaces, a slow link between them
# that goes down in the middle and comes back. Both peers end with the same root.
#
# namespaces.sh; RATE (8mbit) can be set. Needs root and iproute2; says `skipped` otherwise.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
rate=${RATE:-8mbit}
[ "$(id -u)" -eq 0 ] || skip "not root"
command -v ip >/dev/null && command -v tc >/dev/null || skip "no iproute2"
a=us-a-$$ b=us-b-$$
before_cleanup() { ip netns del "$a"; ip netns del "$b"; } 2>/dev/null
ip netns add "$a" 2>/dev/null && ip netns add "$b" || skip "no network namespaces here"
ip link add "va$$" type veth peer name "vb$$" 2>/dev/null || skip "no virtual links here"
ip link set "va$$" netns "$a"
ip link set "vb$$" netns "$b"
ip -n "$a" addr add 10.77.0.1/24 dev "va$$"
ip -n "$b" addr add 10.77.0.2/24 dev "vb$$"
for side in "$a va$$" "$b vb$$"; do
  read -r name link <<<"$side"
  ip -n "$name" link set lo up
  ip -n "$name" link set "$link" up
  tc -n "$name" qdisc add dev "$link" root tbf rate "$rate" burst 32kbit latency 200ms ||
    skip "no rate limits here"
done

make_text "$work/text"
small_config "$work/text" "${ROUNDS:-12}" "${STEPS:-48}" 2 >"$work/config.toml"
ip netns exec "$a" "$program" swarm start "$work/config.toml" --friends 1 --dir "$work/peer-1" \
  --bind 10.77.0.1:0 --threads 1 --json >"$work/peer-1.log" 2>"$work/peer-1.err" &
pids[1]=$!
wait_until 120 has_invitations "$work/peer-1.log" || { cat "$work/peer-1.err"; failed=1; exit 1; }
ip netns exec "$b" "$program" swarm join "$(invitations_in "$work/peer-1.log")" --dir "$work/peer-2" \
  --bind 10.77.0.2:0 --threads 1 --json >"$work/peer-2.log" 2>"$work/peer-2.err" &
pids[2]=$!
check "the second joins over the slow link" wait_until 120 has_model "$work/peer-2"
in_the_middle() { ! has_finished "$work/peer-1.log"; }
check "the link goes down in the middle" in_the_middle
ip -n "$b" link set "vb$$" down
sleep 3
ip -n "$b" link set "vb$$" up
both_finished() { has_finished "$work/peer-1.log" && has_finished "$work/peer-2.log"; }
check "both finish although the link was down" wait_until 300 both_finished
check "both hold the same root" same_root "$work/peer-1" "$work/peer-2"
check "nobody was accused" bash -c "! grep -l '\"notice\":\"ejected\"' $work/peer-*.log"
finish
