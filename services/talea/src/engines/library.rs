//! Hosts the ClickHouse engine in this process: the body of the hidden subcommand `engine clickhouse`.
//!
//! The engine comes as a shared library with a C interface, and it may end its whole process, so it never runs in the
//! process that serves: the parent runs its own binary again with this subcommand.

#![allow(
    unsafe_code,
    reason = "calling a C function of a library that is loaded at run time cannot be checked by the compiler"
)]

use std::ffi::{CString, c_char, c_int, c_void};

/// `query_stable_v2(argc, argv)`: runs `clickhouse local` with these arguments and returns when it ends.
type RunCommandLine = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;

/// Loads the library named by the first argument and runs `clickhouse local` with the others.
///
/// Gives the exit status of the process: 0 when the engine ended by itself, 2 when the library could not be used.
#[must_use]
pub fn clickhouse_child(arguments: &[String]) -> i32 {
    match run(arguments) {
        Ok(()) => 0,
        Err(reason) => {
            eprintln!("engine clickhouse: {reason}");
            2
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let (path, arguments) = arguments.split_first().ok_or("the path of libchdb is missing")?;
    let arguments = std::iter::once("clickhouse")
        .chain(arguments.iter().map(String::as_str))
        .map(CString::new)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| "an argument holds a NUL byte")?;
    // The engine may write to its arguments, as any C program may: it gets buffers of its own, which are never freed.
    let mut pointers: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
    let count = c_int::try_from(pointers.len()).map_err(|_| "too many arguments")?;
    pointers.push(std::ptr::null_mut());
    // SAFETY: the library is the pinned ClickHouse build; its initialisers make no demand on the loading process, and
    // this process does nothing but host it.
    let library = unsafe { libloading::Library::new(path) }.map_err(|error| error.to_string())?;
    // SAFETY: the signature is the one in the library's header for this pinned version.
    let command_line: libloading::Symbol<'_, RunCommandLine> =
        unsafe { library.get(b"query_stable_v2\0") }.map_err(|error| error.to_string())?;
    // SAFETY: `count` valid NUL-terminated strings and a terminating null pointer, alive until the process ends. The
    // result is not read, and not freed because the process ends.
    let _result = unsafe { command_line(count, pointers.as_mut_ptr()) };
    // Unloading would run destructors beside threads of the engine that may still be ending.
    std::mem::forget(library);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_an_exit_status_and_not_a_crash() {
        assert_eq!(clickhouse_child(&[]), 2);
        assert_eq!(clickhouse_child(&["/nowhere/libchdb.so".to_owned()]), 2);
    }
}
