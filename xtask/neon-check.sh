#!/usr/bin/env bash
# Compiles the kernel and its conformance program for AArch64 and runs them under qemu, so that the NEON
# kernels can be checked on an x86-64 Debian machine. Nothing is installed: the compiler, its AArch64 standard library, a cross
# linker and the emulator are downloaded as packages and unpacked into a folder of their own.
#
# Usage: xtask/neon-check.sh
# NEON_DIR=folder keeps the unpacked tools there (default: target/neon-check).
# Needs: apt-get with fresh lists (apt-get update), dpkg-deb.
set -euo pipefail

project=$(cd "$(dirname "$0")/.." && pwd)
dir=$(realpath -m "${NEON_DIR:-$project/target/neon-check}")
tools=$dir/tools

unpack_tools() {
  mkdir -p "$dir/debs" "$tools" "$dir/apt/state/lists/partial" "$dir/apt/cache/archives/partial" "$dir/apt/log"
  touch "$dir/apt/status"
  cd "$dir/debs"
  apt-get download rustc-web libstd-rust-web-1.96 libllvm22 qemu-user-static \
    gcc-12-aarch64-linux-gnu cpp-12-aarch64-linux-gnu gcc-12-aarch64-linux-gnu-base \
    binutils-aarch64-linux-gnu libgcc-12-dev-arm64-cross libgcc-s1-arm64-cross \
    libc6-dev-arm64-cross libc6-arm64-cross linux-libc-dev-arm64-cross
  # The standard library is an arm64 package: ask apt as if this machine were one.
  local foreign=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::Log="$dir/apt/log"
    -o Dir::State="$dir/apt/state" -o Dir::State::status="$dir/apt/status" -o Dir::Cache="$dir/apt/cache")
  apt-get "${foreign[@]}" update
  apt-get "${foreign[@]}" download libstd-rust-web-dev
  local package
  for package in *.deb; do dpkg-deb -x "$package" "$tools"; done
}

write_linker() {
  cat > "$dir/linker" <<LINKER
#!/bin/sh
exec "$tools/usr/bin/aarch64-linux-gnu-gcc-12" -static \
  -B"$tools/usr/lib/gcc-cross/aarch64-linux-gnu/12/" -B"$tools/usr/aarch64-linux-gnu/lib/" \
  -B"$tools/usr/aarch64-linux-gnu/bin/" -L"$tools/usr/aarch64-linux-gnu/lib" "\$@"
LINKER
  chmod +x "$dir/linker"
}

[[ -x $tools/usr/bin/qemu-aarch64-static ]] || unpack_tools
write_linker
export LD_LIBRARY_PATH=$tools/usr/lib/x86_64-linux-gnu
compile() {
  "$tools/usr/bin/rustc" -O --edition 2024 --sysroot "$tools/usr" --target aarch64-unknown-linux-gnu \
    -C target-feature=+crt-static -C linker-flavor=gcc -C linker="$dir/linker" --out-dir "$dir" "$@"
}
kernel=$project/crates/kernel
compile --crate-name kernel --crate-type rlib "$kernel/src/lib.rs"
compile --crate-name program --extern kernel="$dir/libkernel.rlib" "$kernel/neon/check.rs"
exec "$tools/usr/bin/qemu-aarch64-static" "$dir/program"
