//! The `anchorwatch` program. Everything is in the library, so that tests and other programs have it.

use std::process::ExitCode;

fn main() -> ExitCode {
    anchorwatch::cli::main()
}
