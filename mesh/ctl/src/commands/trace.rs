//! `trace`: what happened to an order, span by span, and where its time went.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use meshctl::traces::{Answer, Asked, Chapter, Story, ask};
use prost::Message as _;
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;

use super::waterfall::{self, Waterfall};
use crate::output;
use crate::project::Project;
use crate::state::State;

/// Whose trace, and how to show it.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::TRACE)]
pub struct Args {
    /// An order's id, a request's id, another id that spans carry, or a trace's.
    #[arg(value_name = "ORDER_ID|REQUEST_ID|TRACE_ID")]
    id: Asked,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

/// Runs the command. Exits 1 if there is nothing to show.
pub async fn run(args: Args) -> Result<ExitCode> {
    let state = State::load(&Project::find()?.home)?;
    let Some(kept) = &state.traces else {
        bail!(
            "this shop keeps no traces: it was started with OTLP_ENDPOINT set, so they went there, or \
             with --untraced"
        );
    };
    let mut answer = ask(kept.address, args.id).await?;
    let mut recorded = None;
    if answer.traces.is_empty() {
        // Spans that carry the id may be gone; the log still knows the trace.
        recorded = recorded_trace(&state, args.id).await?;
        if let Some(trace) = recorded {
            answer = ask(kept.address, trace).await?;
        }
    }
    if answer.traces.is_empty() {
        bail!(not_found(args.id, recorded, &answer));
    }
    let story = Story::of(std::mem::take(&mut answer.traces));
    if args.json {
        output::json(&json(args.id, &story, &answer))?;
    } else {
        output::put(&text(args.id, &story, &answer))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn json(asked: Asked, story: &Story, answer: &Answer) -> Value {
    let mut chapters = story.chapters.iter().map(Chapter::json);
    let mut told = chapters.next().unwrap_or_default();
    told["id"] = asked.to_string().into();
    told["later"] = chapters.collect();
    told["beside"] = json!(story.beside.nodes);
    told["left_out"] = answer.left_out.into();
    told["buffer"] = json!(answer.about);
    told
}

fn text(asked: Asked, story: &Story, answer: &Answer) -> String {
    let mut text = String::new();
    let begun = story.chapters.first().map_or(0, |chapter| chapter.account.from);
    for (index, Chapter { forest, account }) in story.chapters.iter().enumerate() {
        let title = match index {
            0 => asked.to_string(),
            _ => waterfall::later(account.from.saturating_sub(begun)),
        };
        text += &Waterfall { title, forest, account }.text();
    }
    text + &waterfall::beside(&story.beside, begun, answer)
}

/// The trace in which an order's first event was recorded, as its log says.
async fn recorded_trace(state: &State, asked: Asked) -> Result<Option<Asked>> {
    let Asked::Id(id) = asked else { return Ok(None) };
    let Some(orders) = state.services.get("orders").and_then(|it| it.first()) else {
        return Ok(None);
    };
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy(&orders.database_url)?;
    let meta: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT meta FROM log WHERE key = $1 ORDER BY version LIMIT 1")
            .bind(id)
            .fetch_optional(&pool)
            .await
            .context("the log of orders cannot be read")?;
    pool.close().await;
    let meta = meta.map(|meta| mesh_log::Meta::decode(&*meta)).transpose()?;
    let trace = meta.and_then(|meta| meta.traceparent.split('-').nth(1)?.parse().ok());
    Ok(trace)
}

/// Why there is nothing to show, and what to do.
fn not_found(asked: Asked, recorded: Option<Asked>, answer: &Answer) -> String {
    let about = &answer.about;
    let since = meshctl::operate::written_time(i64::try_from(about.since).unwrap_or_default());
    let dropped = match about.dropped_traces {
        0 => String::new(),
        count => format!("; {count} older ones gave way to newer ones"),
    };
    let known = match recorded {
        Some(trace) => format!(
            "the order {asked} is known, and was placed in the trace {trace}, but no span of it is kept"
        ),
        None => format!("no span that is kept carries {asked}"),
    };
    format!(
        "{known}\n  {} traces are kept, from {since} on, when this shop was started{dropped}.\n  A span \
         comes in half a second after its end: try again if it is that young. `{} logs --all` with \
         --order,\n  --request or --trace finds what was logged. To keep traces for longer, start a store \
         of your\n  own and set OTLP_ENDPOINT before `up`.",
        about.traces,
        output::program()
    )
}
