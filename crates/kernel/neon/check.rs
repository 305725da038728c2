//! The conformance vectors as one program, to run on another architecture (AArch64 under qemu, say)
//! where cargo is not at hand: see `xtask/neon-check.sh`. Exit status 1 if a hash is not the expected
//! one.

use std::process::ExitCode;

use kernel::{EXPECTED, Isa, Kernel, conformance};

fn main() -> ExitCode {
    let mut good = true;
    for isa in Isa::available() {
        for threads in [1, 3] {
            let got = conformance(&Kernel::new(isa, threads));
            good &= got.len() == EXPECTED.len();
            for (got, expected) in got.iter().zip(EXPECTED) {
                good &= *got == expected;
                println!("{isa} {threads} {:#018x} {}", got.1, got.0);
            }
        }
    }
    println!("{}", if good { "as expected" } else { "NOT as expected" });
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
