#!/usr/bin/env bash
# Checks the page in headless Chromium: run.sh [URL] [SCREENSHOT_FOLDER]
#
# With no URL (or an empty one) the example server is built and checked. Prints `skipped: …` and
# exits 0 where Chromium, Node.js or playwright-core cannot be had.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
url=${1:-}
shots=${2:-}
shots=${shots:+$(mkdir -p "$shots" && cd "$shots" && pwd)}
work=$(mktemp -d)
cd "$here/../.."
server=
stop() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap stop EXIT

skip() {
  echo "skipped: $1"
  exit 0
}

CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
[ -n "$CHROMIUM" ] || skip "no Chromium on this machine"
command -v node >/dev/null && command -v npm >/dev/null || skip "no Node.js with npm on this machine"
export CHROMIUM

# playwright-core drives the browser; PLAYWRIGHT may name a folder that holds it already.
export CHECK_MODULES=${PLAYWRIGHT:-$work}
if [ ! -d "$CHECK_MODULES/node_modules/playwright-core" ]; then
  npm install --silent --no-save --no-audit --no-fund --prefix "$CHECK_MODULES" playwright-core@1 >"$work/npm.log" 2>&1 ||
    skip "npm could not install playwright-core"
fi

if [ -z "$url" ]; then
  cargo build --quiet -p understory-serve --example page
  "${CARGO_TARGET_DIR:-target}/debug/examples/page" 0 78 >"$work/url" &
  server=$!
  for _ in $(seq 100); do
    [ -s "$work/url" ] && break
    sleep 0.1
  done
  url=$(head -n 1 "$work/url")
  [ -n "$url" ] || { echo "the example server did not start" >&2; exit 1; }
fi

node "$here/check.mjs" "$url" ${shots:+"$shots"}
