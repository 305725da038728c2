#!/usr/bin/env bash
# House rules that no compiler checks. Ends with `N passed, N failed`.
set -euo pipefail
cd "$(dirname "$0")/.."
passed=0 failed=0
rule() { # NAME OFFENDERS
  if [ -z "$2" ]; then
    passed=$((passed + 1))
    echo "ok      $1"
  else
    failed=$((failed + 1))
    printf 'FAILED  %s\n%s\n' "$1" "$2"
  fi
}
sources=$(git ls-files '*.rs')
long() { xargs wc -l <<<"$sources" | awk '$2 != "total" && $1 > 900 { print $2 ": " $1 " lines" }'; }
roots() {
  for lib in crates/*/src/lib.rs crates/*/src/main.rs fuzz/src/lib.rs; do
    [ "$lib" = crates/kernel/src/lib.rs ] && continue
    [ -e "$lib" ] && ! grep -q '^#!\[forbid(unsafe_code)\]' "$lib" && echo "$lib"
  done
  true
}
# Tests may unwrap; what ships states why a value must be there.
unwraps() {
  local file
  for file in $(grep -vE '(^|/)(tests|benches|examples|fuzz)/|/tests\.rs$' <<<"$sources"); do
    awk -v f="$file" '/#\[cfg\(test\)\]/ { exit } /\.unwrap\(\)/ && !/^ *\/\// { print f ":" NR ": " $0 }' "$file"
  done
}
leftovers() { git grep -nE 'todo!\(|unimplemented!\(|TODO|FIXME' -- '*.rs' '*.sh' '*.mjs' '*.py' ':!xtask/house.sh' || true; }
# What is printed is made plain, by `terminal` alone; libraries are quiet.
streams() {
  local ours='terminal::(raw_)?std(out|err)\(\)|\.is_terminal\(\)'
  git grep -nE '\b(stdout|stderr)\(\)' -- 'crates/understory/src' ':!crates/understory/src/terminal.rs' | grep -vE "$ours" || true
  git grep -nE 'std::e?print(ln)?!' -- 'crates/*/src' ':!crates/understory/src/terminal.rs' || true
  git grep -nE '^[^/]*\be?print(ln)?!' -- 'crates/*/src' ':!crates/understory/src' || true
}
# A module is NAME.rs, with what is inside in NAME/; cargo itself wants mod.rs for what tests share.
modules() { git ls-files '*/mod.rs' | grep -vE '/(tests|benches)/[a-z_]+/mod\.rs$' || true; }
dependencies() { (! grep -A99 '^\[dependencies\]' crates/kernel/Cargo.toml | sed '1d;/^\[/,$d' | grep -E '^[a-z]') || echo "kernel has dependencies"; }

rule "no file of more than 900 lines" "$(long)"
rule "unsafe code only in kernel" "$(roots)"
rule "no unwrap in what ships" "$(unwraps)"
rule "nothing left to do in the source" "$(leftovers)"
rule "only terminal.rs writes to the terminal" "$(streams)"
rule "modules are NAME.rs beside NAME/" "$(modules)"
rule "kernel depends on nothing" "$(dependencies)"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
