//! `locks`: which sessions of the databases wait for another one, and for whom.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use meshctl::services;
use serde::Serialize;
use sqlx::{Connection as _, PgConnection};

use crate::output::{self, Tone};
use crate::project::Project;
use crate::state::State;

const COLUMNS: [&str; 7] =
    ["service", "held by", "state", "for", "waiting", "longest", "its last statement"];
/// Characters of a statement that are shown.
const SHOWN: usize = 60;
/// First those that wait for nobody themselves: whoever stands in a queue also waits for all before it.
const WAITS: &str = "
    SELECT holder.datname::text, holder.pid, coalesce(holder.state, ''),
           coalesce(extract(epoch FROM clock_timestamp() - holder.xact_start), 0)::float8,
           count(*),
           coalesce(max(extract(epoch FROM clock_timestamp() - waiting.query_start)), 0)::float8,
           holder.query, min(waiting.query)
    FROM pg_stat_activity waiting
    CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocking (pid)
    JOIN pg_stat_activity holder ON holder.pid = blocking.pid
    WHERE waiting.datname = ANY($1) AND waiting.wait_event_type = 'Lock'
    GROUP BY holder.datname, holder.pid, holder.state, holder.xact_start, holder.query
    ORDER BY cardinality(pg_blocking_pids(holder.pid)), count(*) DESC, holder.pid";

/// Whose databases, and how to show it.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::LOCKS)]
pub struct Args {
    /// Only this service's database.
    service: Option<String>,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

/// A session that others wait for.
#[derive(Debug, Serialize)]
struct Holder {
    service: String,
    pid: i32,
    state: String,
    /// Since its transaction began.
    seconds: f64,
    waiting: i64,
    longest_seconds: f64,
    statement: String,
    /// What one of those wants that wait.
    wanted: String,
}

type Row = (String, i32, String, f64, i64, f64, String, String);

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    if let Some(name) = &args.service {
        services::check(name)?;
    }
    let state = State::load(&Project::find()?.home)?;
    let databases = databases(&state, args.service.as_deref());
    let holders = holders(&state.postgres.url, &databases).await?;
    if args.json {
        output::json(&holders)?;
    } else if holders.is_empty() {
        output::put("  nobody waits for a lock\n")?;
    } else {
        print(&holders)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The services and the names of their databases.
fn databases(state: &State, service: Option<&str>) -> Vec<(String, String)> {
    let wanted = state.services.iter().filter(|(name, _)| service.is_none_or(|it| it == *name));
    let first = wanted.filter_map(|(name, all)| Some((name, all.first()?)));
    let first = first.filter(|(_, instance)| !instance.database_url.is_empty());
    first.map(|(name, instance)| (name.clone(), database(&instance.database_url))).collect()
}

/// `catalog` of `postgres://catalog:…@127.0.0.1:5432/catalog?sslmode=…`.
fn database(url: &str) -> String {
    let path = url.split('?').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Asks as superuser: others are not told what foreign sessions do.
async fn holders(url: &str, databases: &[(String, String)]) -> Result<Vec<Holder>> {
    let names: Vec<&str> = databases.iter().map(|(_, database)| database.as_str()).collect();
    let answer = async {
        let mut server = PgConnection::connect(url).await?;
        let rows: Vec<Row> = sqlx::query_as(WAITS).bind(names).fetch_all(&mut server).await?;
        server.close().await?;
        Ok::<_, sqlx::Error>(rows)
    };
    let rows = answer.await.context("PostgreSQL does not say who waits")?;
    let holder = |(database, pid, state, seconds, waiting, longest_seconds, statement, wanted)| {
        let service = databases.iter().find(|(_, name)| *name == database);
        let service = service.map(|(service, _)| service.clone()).unwrap_or(database);
        Holder { service, pid, state, seconds, waiting, longest_seconds, statement, wanted }
    };
    Ok(rows.into_iter().map(holder).collect())
}

fn print(holders: &[Holder]) -> Result<()> {
    let mut rows = vec![COLUMNS.map(|title| (title.to_owned(), Tone::Faint)).to_vec()];
    for holder in holders {
        rows.push(vec![
            (holder.service.clone(), Tone::Strong),
            (format!("pid {}", holder.pid), Tone::Bad),
            (holder.state.clone(), Tone::Plain),
            (format!("{:.1} s", holder.seconds), Tone::Plain),
            (holder.waiting.to_string(), Tone::Plain),
            (format!("{:.1} s", holder.longest_seconds), Tone::Plain),
            (shown(&holder.statement), Tone::Plain),
        ]);
        let mut wanted = vec![(String::new(), Tone::Plain); COLUMNS.len() - 1];
        wanted.push((format!("for it waits: {}", shown(&holder.wanted)), Tone::Faint));
        rows.push(wanted);
    }
    Ok(output::put(&output::table(&rows))?)
}

/// A statement on one line, cut off where it gets long.
fn shown(statement: &str) -> String {
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} …", line[..end].trim_end()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::{SHOWN, database, shown};

    #[test]
    fn a_database_is_read_off_its_url_and_a_statement_is_one_short_line() {
        assert_eq!(database("postgres://a:b@127.0.0.1:1/catalog?sslmode=require"), "catalog");
        assert_eq!(database("postgres://a:b@127.0.0.1:1/orders_7"), "orders_7");
        assert_eq!(shown("SELECT\n  1"), "SELECT 1");
        let long = shown(&"é".repeat(SHOWN + 1));
        assert_eq!((long.chars().count(), long.ends_with(" …")), (SHOWN + 2, true));
    }
}
