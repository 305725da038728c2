#!/usr/bin/env bash
# The kernel's conformance vectors on NEON, under qemu: the same hashes as on x86-64.
#
# NEON_DIR keeps the unpacked compiler and emulator between runs.
set -euo pipefail
cd "$(dirname "$0")/.."
skip() {
  echo "skipped: $1"
  exit 0
}
[ "$(uname -m)" = x86_64 ] || skip "the cross compiler is packaged for x86-64"
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || skip "no Debian packages here"
export NEON_DIR=${NEON_DIR:-$PWD/target/neon-check}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! xtask/neon-check.sh >"$log" 2>&1; then
  if ! grep -q '^neon ' "$log" && ! ls "$NEON_DIR"/*/usr/bin/qemu-aarch64-static >/dev/null 2>&1; then
    skip "the cross compiler and emulator cannot be had ($(tail -n 1 "$log"))"
  fi
  cat "$log"
  echo "0 passed, 1 failed"
  exit 1
fi
sed -n "s/^neon 1 /neon /p" "$log"
grep -x 'as expected' "$log"
echo "$(grep -c '^neon ' "$log") passed, 0 failed"
