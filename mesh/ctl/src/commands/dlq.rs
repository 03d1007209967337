//! `dlq`: dead letters, which are events that a service could not apply.

use std::process::ExitCode;

use anyhow::Result;
use mesh_proto::operator::v1::{DeadLetter, RedriveDeadLettersResponse};
use meshctl::operate::{Answers, Held, dead_letter_json, reason_word, written_time};
use serde_json::{Value, json};

use super::sagas::{How, missing, short};
use crate::output::{self, Tone};

/// What to do.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::DLQ)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Lists dead letters in the order of their streams.
    List,
    /// Shows one dead letter with its body.
    Show {
        /// The stream that it came from.
        stream: String,
        /// The event's id.
        event_id: String,
    },
    /// Tries dead letters again, in order; stops at the first of a key that fails again.
    Redrive {
        /// The stream that they came from.
        stream: String,
        /// Only those of this key, such as an order's id.
        key: Option<String>,
    },
}

/// Runs the command. Exits 1 if dead letters are left that were to be tried again.
pub async fn run(args: Args) -> Result<ExitCode> {
    let desk = args.how.desk()?;
    let json = args.how.json;
    match args.action.unwrap_or(Action::List) {
        Action::List => {
            let answers = desk.dead_letters().await;
            if json {
                let letters: Value = answers.held.iter().map(dead_letter_json).collect();
                output::json(&letters)?;
            } else {
                print_all(&answers)?;
            }
            return Ok(missing(&answers.silent));
        }
        Action::Show { stream, event_id } => {
            let letter = desk.dead_letter(&stream, &event_id).await?;
            let value = dead_letter_json(&letter);
            if json {
                output::json(&value)?;
            } else {
                print_one(&letter, &value)?;
            }
        }
        Action::Redrive { stream, key } => {
            let answers = desk.redrive(&stream, &key.unwrap_or_default()).await?;
            if json {
                let answers: Value = answers.iter().map(redriven_json).collect();
                output::json(&answers)?;
            } else {
                print_redriven(&answers)?;
            }
            if answers.iter().any(|answer| answer.thing.remaining > 0) {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_all(answers: &Answers<DeadLetter>) -> Result<()> {
    let letters = &answers.held;
    if letters.is_empty() && answers.silent.is_empty() {
        return Ok(output::put("  no dead letters\n")?);
    }
    let titles = ["service", "stream", "event", "type", "key", "why", "tries", "error"];
    let mut rows = vec![titles.map(|title| (title.to_owned(), Tone::Faint)).to_vec()];
    for Held { service, thing: letter } in letters {
        rows.push(vec![
            (service.clone(), Tone::Plain),
            (letter.stream.clone(), Tone::Plain),
            (letter.event_id.clone(), Tone::Strong),
            (short(&letter.r#type), Tone::Plain),
            (letter.key.clone(), Tone::Plain),
            (reason_word(letter), Tone::Doubtful),
            (letter.attempts.to_string(), Tone::Plain),
            (letter.error.clone(), Tone::Plain),
        ]);
    }
    Ok(output::put(&output::table(&rows))?)
}

fn print_one(held: &Held<DeadLetter>, value: &Value) -> Result<()> {
    let letter = &held.thing;
    let time = letter.create_time.as_ref().map(|time| written_time(time.seconds));
    let rows = [
        ("event", letter.event_id.clone()),
        ("service", held.service.clone()),
        ("stream", format!("{}, sequence {}", letter.stream, letter.sequence)),
        ("type", letter.r#type.clone()),
        ("key", letter.key.clone()),
        ("why", reason_word(letter)),
        ("error", letter.error.clone()),
        ("tries", letter.attempts.to_string()),
        ("since", time.unwrap_or_default()),
        ("body", value["body"].as_str().unwrap_or("empty").to_owned()),
    ];
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(name, value)| vec![(name.to_owned(), Tone::Faint), (value, Tone::Plain)])
        .collect();
    Ok(output::put(&output::table(&rows))?)
}

fn redriven_json(held: &Held<RedriveDeadLettersResponse>) -> Value {
    json!({
        "service": held.service,
        "applied": held.thing.applied,
        "remaining": held.thing.remaining,
        "error": held.thing.error,
    })
}

fn print_redriven(answers: &[Held<RedriveDeadLettersResponse>]) -> Result<()> {
    let rows: Vec<_> = answers
        .iter()
        .map(|Held { service, thing }| {
            let left = if thing.remaining == 0 { Tone::Plain } else { Tone::Bad };
            vec![
                (service.clone(), Tone::Strong),
                (format!("{} applied", thing.applied), Tone::Good),
                (format!("{} left", thing.remaining), left),
                (thing.error.clone(), Tone::Plain),
            ]
        })
        .collect();
    Ok(output::put(&output::table(&rows))?)
}
