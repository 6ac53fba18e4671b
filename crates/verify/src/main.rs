//! `chancery-verify`: see [`chancery_verify`].

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let code = chancery_verify::cli::run(std::env::args().skip(1), &mut io::stdout(), &mut io::stderr());
    ExitCode::from(code)
}
