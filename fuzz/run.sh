#!/usr/bin/env bash
# Fuzzes each parser: run.sh [SECONDS] [TARGET…]; 10 seconds and all targets by default.
#
# Builds with the stable toolchain: libFuzzer and coverage counters, no sanitizer (only `kernel`
# has unsafe code). Ends with `N passed, N failed`; what made a target fail is kept in
# fuzz/artifacts. Prints `skipped: …` where there is no C++ compiler or libFuzzer cannot be built.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-10}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for file in targets/*.rs; do
    [ "$file" = targets/seeds.rs ] || targets+=("$(basename "$file" .rs)")
  done
fi

skip() {
  echo "skipped: $1"
  exit 0
}
command -v c++ >/dev/null || command -v g++ >/dev/null || skip "no C++ compiler for libFuzzer"

host=$(rustc -vV | sed -n 's/^host: //p')
out=${CARGO_TARGET_DIR:-target}
# What `cargo fuzz build --sanitizer none` sets.
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
flags+=" -Cllvm-args=-sanitizer-coverage-pc-table --cfg fuzzing -Ccodegen-units=16"
RUSTFLAGS="$flags" cargo build --release --bins --quiet --target "$host" --target-dir "$out"
bin=$out/$host/release

mkdir -p corpus
SEEDS=corpus "$bin/seeds" -runs=0 >/dev/null 2>&1
mkdir -p artifacts
passed=0 failed=0
for target in "${targets[@]}"; do
  mkdir -p "corpus/$target"
  log=$(mktemp)
  # A parser of a few kilobytes has no business with more than 1 GiB or 10 s.
  if "$bin/$target" "corpus/$target" -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=10 \
    -max_len=65536 -artifact_prefix="artifacts/$target-" -print_final_stats=1 >"$log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    printf 'ok      %-16s %9s runs, %5s edges\n' "$target" "$runs" "$edges"
    passed=$((passed + 1))
  else
    tail -n 40 "$log"
    printf 'FAILED  %s\n' "$target"
    failed=$((failed + 1))
  fi
  rm -f "$log"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
