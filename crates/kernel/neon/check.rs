//! The conformance vectors as one dependency-free program, to run on another architecture (AArch64
//! under qemu, say) where cargo is not at hand: `xtask/neon-check.sh crates/kernel/neon/check.rs`.
//! Exit status 1 if any hash is not the expected one.
#![allow(dead_code, unused_imports)] // a crate root of the library's modules, of which it uses few

#[path = "../src/attention/mod.rs"]
mod attention;
#[path = "../src/conformance.rs"]
mod conformance;
#[path = "../src/embed.rs"]
mod embed;
#[path = "../src/gemm.rs"]
mod gemm;
#[path = "../src/isa.rs"]
mod isa;
#[path = "../src/kernel.rs"]
mod kernel;
#[path = "../src/loss.rs"]
mod loss;
#[path = "../src/math/mod.rs"]
mod math;
#[path = "../src/matrix/mod.rs"]
mod matrix;
#[path = "../src/memory.rs"]
mod memory;
#[path = "../src/norm.rs"]
mod norm;
#[path = "../src/optim.rs"]
mod optim;
#[path = "../src/pool.rs"]
mod pool;
#[path = "../src/quant.rs"]
mod quant;
#[path = "../src/random.rs"]
mod random;
#[path = "../src/rope.rs"]
mod rope;
#[path = "../src/scratch.rs"]
mod scratch;
#[path = "../src/simd/mod.rs"]
mod simd;
#[path = "../src/swiglu.rs"]
mod swiglu;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut good = true;
    for isa in isa::Isa::available() {
        for threads in [1, 3] {
            let got = conformance::conformance(&kernel::Kernel::new(isa, threads));
            for (got, expected) in got.iter().zip(conformance::EXPECTED) {
                good &= *got == expected;
                println!("{isa} {threads} {:#018x} {}", got.1, got.0);
            }
        }
    }
    println!("{}", if good { "as expected" } else { "NOT as expected" });
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
