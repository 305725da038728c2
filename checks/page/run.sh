#!/usr/bin/env bash
# Checks the pages in headless Chromium: run.sh [URL] [SCREENSHOT_FOLDER]
#
# URL is a run's page; with none (or an empty one) the example server is built and checked. The
# page of a commons is that of its own example in any case. Prints `skipped: …` and exits 0
# where Chromium, Node.js or playwright-core cannot be had.
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

if command -v node >/dev/null; then node "$here/plain.mjs"; fi

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

# Starts an example server with these arguments; its address is then in $url.
example() { # NAME ARGUMENTS...
  cargo build --quiet -p understory-serve --example "$1"
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
  : >"$work/url"
  "${CARGO_TARGET_DIR:-target}/debug/examples/$1" "${@:2}" >"$work/url" &
  server=$!
  for _ in $(seq 300); do
    [ -s "$work/url" ] && break
    sleep 0.1
  done
  url=$(head -n 1 "$work/url")
  [ -n "$url" ] || { echo "the example server $1 did not start" >&2; exit 1; }
}

[ -n "$url" ] || example page 0 78
failed=0
node "$here/check.mjs" "$url" ${shots:+"$shots"} || failed=1
example commons_page 0 5
node "$here/commons.mjs" "$url" ${shots:+"$shots"} || failed=1
exit "$failed"
