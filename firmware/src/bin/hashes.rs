//! Prints the hashes of the corpus, in the form of tests/hashes.txt.
#![cfg_attr(not(unix), no_std, no_main)]

#[path = "../../../tests/corpus/mod.rs"]
mod corpus;

use core::fmt::Write;

use soft_bce::Backend;

fn run(out: &mut dyn Write) -> bool {
    let mut printed = true;
    let mut report = |format: &str, operation: &str, mode: &str, hash: u64| {
        printed &= writeln!(out, "{format} {operation} {mode} {hash:016x}").is_ok();
    };
    let backend = Backend::detect();
    corpus::hash_all::<f32>(backend, &mut report).is_ok()
        && corpus::hash_all::<f64>(backend, &mut report).is_ok()
        && printed
}

soft_bce_firmware::program!(run);
