//! `provision`: what has to be there before services are started where `up` does not start them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use mesh_local::{
    ServiceKeys, UserKeys, connect_nats, ensure_database, ensure_streams_with, replace,
};
use meshctl::{generate::compose, services};

/// What to make, and where.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::PROVISION)]
pub struct Args {
    /// What to make; it is left as it is where it is there.
    #[arg(required = true, value_enum)]
    what: Vec<What>,
    /// The database server, as its superuser.
    #[arg(long, env = "POSTGRES_URL", hide_env_values = true, value_name = "URL")]
    postgres_url: Option<String>,
    /// The broker, as its operator.
    #[arg(long, env = "NATS_URL", hide_env_values = true, value_name = "URL")]
    nats_url: Option<String>,
    /// How many servers of the broker's cluster keep each stream.
    #[arg(long, env = "STREAM_REPLICAS", default_value_t = 1, value_name = "COUNT",
          value_parser = clap::value_parser!(u8).range(1..=5))]
    stream_replicas: u8,
    /// The folder with a folder for each service's keys.
    #[arg(long, env = "KEYS", value_name = "FOLDER")]
    keys: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    /// A database and a role for every service that keeps something.
    Databases,
    /// The streams and buckets of the broker.
    Streams,
    /// The keys that say who a service is.
    Keys,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    for what in &args.what {
        match what {
            What::Databases => databases(&args).await?,
            What::Streams => streams(&args).await?,
            What::Keys => keys(&args)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn databases(args: &Args) -> Result<()> {
    let url =
        args.postgres_url.as_ref().context("POSTGRES_URL is not set: where is PostgreSQL?")?;
    for declaration in services::declarations()?.iter().filter(|it| it.store.is_some()) {
        let name = &declaration.service;
        let variable = compose::database_password(name);
        let password = std::env::var(&variable).ok().filter(|it| !it.is_empty());
        let password = password
            .with_context(|| format!("{variable} is not set: the password of the role {name}"))?;
        let made = ensure_database(url, name, &password).await;
        made.with_context(|| format!("cannot make the database of {name}"))?;
        println!("  database {name}");
    }
    Ok(())
}

async fn streams(args: &Args) -> Result<()> {
    let url = args.nats_url.as_ref().context("NATS_URL is not set: where is the broker?")?;
    let client = connect_nats(url).await?;
    let declarations = services::declarations()?;
    ensure_streams_with(&client, &declarations, args.stream_replicas.into()).await?;
    for declaration in declarations.iter().filter(|it| !it.publishes.is_empty()) {
        println!("  stream {}", declaration.service);
    }
    Ok(())
}

fn keys(args: &Args) -> Result<()> {
    let folder = args.keys.as_ref().context("KEYS is not set: which folder are keys put into?")?;
    let names = services::names()?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    ServiceKeys::apart(folder, &names)?;
    let users = UserKeys::open(&folder.join(compose::OPERATOR))?;
    let put = |name: &str, from: &Path| {
        let file = folder.join(name).join(from.file_name().unwrap_or_default());
        let text = fs::read_to_string(from).context("no key for users' tokens")?;
        replace(&file, &text).with_context(|| format!("cannot write {}", file.display()))
    };
    for declaration in services::declarations()? {
        put(&declaration.service, &users.public())?;
        for file in declaration.secrets.iter().filter_map(|it| it.file.as_ref()) {
            put(&declaration.service, &users.beside(file))?;
        }
    }
    println!("  keys of {} services, and of users' tokens", names.len());
    Ok(())
}
