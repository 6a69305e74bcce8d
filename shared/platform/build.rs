//! The migrations are compiled in; a new file among them must make this crate stale.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations/postgres");
}
