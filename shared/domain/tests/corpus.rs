//! The corpus that fuzzing found holds without a fuzzer too, and so do the examples.

#[path = "../../../fuzz/src/check.rs"]
mod check;

use std::path::Path;

fn replay(folder: &str, at_least: usize) {
    let top = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let files: Vec<_> =
        std::fs::read_dir(top.join(folder)).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    assert!(files.len() >= at_least, "{folder} holds {} files", files.len());
    for file in files {
        let bytes = std::fs::read(&file).expect("a file");
        std::panic::catch_unwind(|| check::check(&bytes)).unwrap_or_else(|_| panic!("{}", file.display()));
    }
}

#[test]
fn what_fuzzing_found_holds() {
    replay("fuzz/corpus/simulation", 50);
}

#[test]
fn the_examples_hold() {
    replay("schemas/examples/simulate", 20);
}
