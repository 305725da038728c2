//! Writes the examples to begin from: `SEEDS=FOLDER seeds -runs=0`. A program like the targets, so
//! that one build serves all.
#![no_main]
libfuzzer_sys::fuzz_target!(
    init: {
        let folder = std::env::var_os("SEEDS").expect("SEEDS names a folder");
        understory_fuzz::seeds::write(folder.as_ref()).expect("the examples can be made");
    },
    |_bytes: &[u8]| {}
);
