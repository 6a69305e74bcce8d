//! The only binary. Everything is in the library, so that tests can run it too.

fn main() -> std::process::ExitCode {
    talea::main()
}
