//! The program that the end-to-end tests start, kill and start again: `talea` itself, under a name that Cargo builds for
//! this package's tests.

fn main() -> std::process::ExitCode {
    talea::main()
}
