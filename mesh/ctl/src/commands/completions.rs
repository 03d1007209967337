//! `completions`: what a shell needs to complete this program's commands.

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use crate::{Cli, help, output};

const PROGRAM: &str = "meshctl";

/// Which shell.
#[derive(Debug, clap::Args)]
#[command(after_help = help::COMPLETIONS)]
pub struct Args {
    /// The shell that you use.
    #[arg(value_enum)]
    shell: Known,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let shell = match args.shell {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), PROGRAM, &mut script);
    output::put(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}
