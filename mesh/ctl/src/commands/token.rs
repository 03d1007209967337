//! `token`: what a caller shows to be somebody of the seeded shop.

use std::process::ExitCode;

use anyhow::{Context, Result};
use meshctl::caller::channel;
use serde_json::json;

use crate::output;
use crate::people::{self, ADMINISTRATOR, PEOPLE};
use crate::project::Project;
use crate::state::State;

/// Whose token.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::TOKEN)]
pub struct Args {
    /// The address of an account; without it the administrator of the seeded shop.
    #[arg(long, value_name = "EMAIL", default_value = ADMINISTRATOR)]
    user: String,
    /// The account's password; that of the seeded shop if not given.
    #[arg(long, env = "SHOP_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Print JSON, with the refresh token, and nothing else.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let state = State::load(&Project::find()?.home)?;
    let seeded = PEOPLE.iter().find(|person| person.email.eq_ignore_ascii_case(&args.user));
    let password = args.password.as_deref().or(seeded.map(|person| person.password));
    let password = password.with_context(|| {
        let known = PEOPLE.map(|person| person.email).join(", ");
        format!("{} is not of the seeded shop: say --password, or one of {known}", args.user)
    })?;
    let users = channel(&state.caller.identity()?, "users", &[state.grpc("users")?])?;
    let tokens = people::sign_in(users, &args.user, password).await?;
    if args.json {
        let expires = tokens.access_expire_time.map(|time| time.seconds);
        output::json(&json!({
            "access_token": tokens.access_token,
            "expires": expires,
            "refresh_token": tokens.refresh_token,
        }))?;
    } else {
        output::put(&format!("{}\n", tokens.access_token))?;
    }
    Ok(ExitCode::SUCCESS)
}
