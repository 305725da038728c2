//! Prints the conformance hashes of every instruction set of this machine and whether they are
//! the expected ones: `cargo run -p understory-kernel --example conformance`.

use std::process::ExitCode;

use kernel::{EXPECTED, Isa, Kernel, conformance};

fn main() -> ExitCode {
    let mut good = true;
    for isa in Isa::available() {
        let got = conformance(&Kernel::new(isa, 2));
        good &= got == EXPECTED;
        for (name, hash) in &got {
            println!("{isa:<8} {hash:#018x} {name}");
        }
    }
    println!("{}", if good { "as expected" } else { "NOT as expected" });
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
