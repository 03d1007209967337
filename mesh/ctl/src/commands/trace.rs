//! `trace`: what happened to an order, span by span, and where its time went.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use meshctl::traces::{Account, Answer, Asked, Forest, Node, ask};
use prost::Message as _;
use serde_json::json;
use sqlx::postgres::PgPoolOptions;

use super::waterfall::Waterfall;
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
    let told = Told::of(answer);
    if args.json {
        output::json(&told.json(args.id))?;
    } else {
        output::put(&told.text(args.id))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What there is to tell.
struct Told {
    answer: Answer,
    forest: Forest,
    account: Account,
    /// Traces that only mention the id, beside those of its story.
    beside: Forest,
}

impl Told {
    fn of(mut answer: Answer) -> Told {
        let traces = std::mem::take(&mut answer.traces);
        let is_story = |trace: &Vec<meshctl::traces::Span>| {
            trace.iter().any(|span| !span.attribute("saga_id").is_empty())
        };
        let (mut story, mut beside): (Vec<_>, Vec<_>) = traces.into_iter().partition(is_story);
        if story.is_empty() {
            std::mem::swap(&mut story, &mut beside);
        }
        let forest = Forest::of(story);
        let account = Account::of(&forest);
        Told { answer, forest, account, beside: Forest::of(beside) }
    }

    fn json(&self, asked: Asked) -> serde_json::Value {
        let span = |(index, node): (usize, &Node)| {
            let mut value = serde_json::to_value(node).unwrap_or_default();
            value["critical"] = self.account.critical.get(index).copied().into();
            value
        };
        let spans: Vec<_> = self.forest.nodes.iter().enumerate().map(span).collect();
        json!({
            "id": asked.to_string(),
            "took": self.account.to - self.account.from,
            "steps": self.account.phases,
            "between": self.account.between,
            "waited": self.account.waited,
            "spans": spans,
            "beside": self.beside.nodes,
            "left_out": self.answer.left_out,
            "buffer": self.answer.about,
        })
    }

    fn text(&self, asked: Asked) -> String {
        Waterfall {
            title: asked.to_string(),
            forest: &self.forest,
            account: &self.account,
            beside: &self.beside,
            left_out: self.answer.left_out,
            about: &self.answer.about,
        }
        .text()
    }
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
