#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| understory_fuzz::parquet(bytes));
