//! `token`: says who a call is made by.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use meshctl::users::{Terms, Users, Who};
use serde_json::json;
use uuid::Uuid;

use crate::output;
use crate::people::{self, PEOPLE};
use crate::project::Project;
use crate::state::State;

/// Whose token; the administrator's if nobody is named.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::TOKEN)]
pub struct Args {
    /// Signs somebody in, by the address of their account.
    #[arg(long, value_name = "EMAIL", conflicts_with_all = ["customer", "admin"])]
    user: Option<String>,
    /// The account's password; that of the seeded shop if not given.
    #[arg(long, env = "SHOP_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// A customer's, by their id, whether or not they have an account.
    #[arg(long, value_name = "ID", conflicts_with = "admin")]
    customer: Option<Uuid>,
    /// The administrator's, as without any option.
    #[arg(long)]
    admin: bool,
    /// Print JSON and nothing else; of who signed in with the refresh token.
    #[arg(long)]
    json: bool,
    /// The private key that signs it; that of the shop that is up if not given.
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    key: Option<PathBuf>,
    /// With --key: who signs it, the services' USER_ISSUER.
    #[arg(long, value_name = "URL", requires = "key")]
    issuer: Option<String>,
    /// With --key: whom it is for, the services' USER_AUDIENCE.
    #[arg(long, value_name = "NAME", requires = "key")]
    audience: Option<String>,
}

/// Prints a token that is good for 15 minutes.
pub async fn run(args: Args) -> Result<ExitCode> {
    let said = match &args.user {
        Some(email) => signed_in(email, args.password.as_deref()).await?,
        None => signed(&args)?,
    };
    if args.json {
        output::json(&said)?;
    } else {
        output::put(&format!("{}\n", said["access_token"].as_str().unwrap_or_default()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the users service gives to whoever knows the password.
async fn signed_in(email: &str, password: Option<&str>) -> Result<serde_json::Value> {
    let state = State::load(&Project::find()?.home)?;
    let seeded = PEOPLE.iter().find(|person| person.email.eq_ignore_ascii_case(email));
    let password =
        password.or_else(|| seeded.map(|person| person.password)).with_context(|| {
            let known = PEOPLE.map(|person| person.email).join(", ");
            format!("{email} is not of the seeded shop: say --password, or one of {known}")
        })?;
    let users = state.caller().channels()?.to("users", &[state.grpc("users")?])?;
    let tokens = people::sign_in(users, email, password).await?;
    Ok(json!({
        "access_token": tokens.access_token,
        "expires": tokens.access_expire_time.map(|time| time.seconds),
        "refresh_token": tokens.refresh_token,
    }))
}

/// What a key gives to whoever may read it.
fn signed(args: &Args) -> Result<serde_json::Value> {
    let (key, terms) = match &args.key {
        Some(key) => (key.clone(), Terms::default()),
        None => {
            let state = State::load(&Project::find()?.home)?;
            let key = state.users.with_context(|| {
                format!("the shop that is up knows no users: `{} down` first", output::program())
            })?;
            (key, state.terms)
        }
    };
    let terms = Terms {
        issuer: args.issuer.clone().unwrap_or(terms.issuer),
        audience: args.audience.clone().unwrap_or(terms.audience),
    };
    let who = args.customer.map_or(Who::Administrator, Who::Customer);
    Ok(json!({ "access_token": Users::read(&key, &terms)?.token(who)?.expose() }))
}
