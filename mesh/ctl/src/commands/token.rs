//! `token`: says who a call is made by.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use meshctl::users::{Users, Who};
use uuid::Uuid;

use crate::output;
use crate::project::Project;
use crate::state::State;

/// Whose token.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::TOKEN)]
pub struct Args {
    /// A customer's, by their id.
    #[arg(long, value_name = "ID", conflicts_with = "admin")]
    customer: Option<Uuid>,
    /// The administrator's, as without any option.
    #[arg(long)]
    admin: bool,
    /// The private key that signs it; that of the shop that is up if not given.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Prints a token that is good for 15 minutes.
pub fn run(args: &Args) -> Result<ExitCode> {
    let key = match &args.key {
        Some(key) => key.clone(),
        None => State::load(&Project::find()?.home)?.users.with_context(|| {
            format!("the shop that is up knows no users: `{} down` first", output::program())
        })?,
    };
    let who = args.customer.map_or(Who::Administrator, Who::Customer);
    println!("{}", Users::read(&key)?.token(who)?.expose());
    Ok(ExitCode::SUCCESS)
}
