//! Any bytes as a simulation document: `cargo +nightly fuzz run simulation -- -dict=fuzz/simulation.dict`.
//!
//! Bytes that are JSON are also changed as JSON ([`mutate`]), because blind changes rarely leave a document that is read.

#![no_main]

mod check;
mod mutate;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| check::check(bytes));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    match mutate::document(&data[..size], max_size, seed) {
        Some(changed) => {
            data[..changed.len()].copy_from_slice(&changed);
            changed.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});
