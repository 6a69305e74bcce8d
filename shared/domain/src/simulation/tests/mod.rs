//! Simulations of whole documents: the examples, what is refused, and what must hold for any.

mod discounts;
mod examples;
mod operations;
mod pricing;
mod properties;
mod receivables;
mod refusals;
mod schema;
mod wallets;
mod words;
mod work;

use super::*;
use std::path::{Path, PathBuf};

/// Set to anything, it makes the tests write what they would compare.
const UPDATE: &str = "TALEA_UPDATE_GOLDEN";

fn top() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The documents below `schemas/examples/simulate`, by name, in the order of their names.
fn documents() -> Vec<(String, String)> {
    let folder = top().join("schemas/examples/simulate");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// Compares with a stored file, or writes it.
fn check_stored(path: &Path, text: &str) {
    if std::env::var_os(UPDATE).is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        return std::fs::write(path, text).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(stored == text, "{} differs; look at it, then run the tests with {UPDATE}=1", path.display());
}
