//! The `regcred` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    regcred::cli::main(std::env::args_os())
}
