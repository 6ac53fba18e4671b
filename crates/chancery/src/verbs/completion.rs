//! `chancery completion`.

use clap_complete::Shell;

use crate::cli;
use crate::context::Context;
use crate::failure::Done;

/// For which shell.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  chancery completion bash > ~/.local/share/bash-completion/completions/chancery\n  chancery completion zsh > ~/.zfunc/_chancery\n  chancery completion fish > ~/.config/fish/completions/chancery.fish"
)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints it.
pub fn run(context: &Context, args: &Args) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "chancery", &mut script);
    context.output.text(&String::from_utf8_lossy(&script))
}
