//! `sagas`: which have not ended, and what to do with one that is parked.

use std::process::ExitCode;

use anyhow::Result;
use mesh_proto::operator::v1::{Saga, SagaState};
use meshctl::operate::{Answers, Desk, Held, saga_json, state_word, written_time};
use serde_json::Value;

use crate::output::{self, Tone};
use crate::project::Project;
use crate::services;
use crate::state::{Instance, State};

/// What to do.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::SAGAS)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    how: How,
}

/// Whom to ask, and how to show the answer.
#[derive(Debug, clap::Args)]
pub(super) struct How {
    /// Only this service's.
    #[arg(long, global = true)]
    service: Option<String>,
    /// Print JSON and nothing else.
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Lists sagas that have not ended, oldest first.
    List {
        /// Only those that wait for an operator.
        #[arg(long)]
        parked: bool,
    },
    /// Shows one saga with every step that it recorded.
    Show {
        /// The saga's id; for an order the order's id.
        id: String,
    },
    /// Lets a parked saga go on where it stopped, with a new time limit.
    Retry {
        /// The saga's id.
        id: String,
    },
    /// Turns a parked saga back: what it did is undone.
    Compensate {
        /// The saga's id.
        id: String,
    },
    /// Ends a parked saga by your word: nothing more is called.
    Resolve {
        /// The saga's id.
        id: String,
        /// What was done and why, for whoever reads the history.
        #[arg(long)]
        note: String,
    },
}

impl How {
    /// A desk for the services that run here, or for the one that is asked for.
    pub fn desk(&self) -> Result<Desk> {
        let state = State::load(&Project::find()?.home)?;
        if let Some(name) = &self.service {
            services::check(name)?;
        }
        let wanted = |name: &String| self.service.as_ref().is_none_or(|wanted| wanted == name);
        // Who keeps nothing has nothing that could be stuck.
        let keeps = |all: &[Instance]| all.iter().any(|it| !it.database_url.is_empty());
        let caller = state.caller();
        let services = state.services.into_iter().filter(|(name, all)| wanted(name) && keeps(all));
        Desk::open(
            &caller,
            services.map(|(name, instances)| {
                (name, instances.into_iter().map(|instance| instance.grpc).collect())
            }),
        )
    }
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let desk = args.how.desk()?;
    let json = args.how.json;
    match args.action.unwrap_or(Action::List { parked: false }) {
        Action::List { parked } => {
            let answers = desk.sagas(parked.then_some(SagaState::Parked)).await;
            if json {
                let sagas: Value = answers.held.iter().map(saga_json).collect();
                output::json(&sagas)?;
            } else {
                print_all(&answers)?;
            }
            return Ok(missing(&answers.silent));
        }
        Action::Show { id } => show(&desk.saga(&id).await?, json)?,
        Action::Retry { id } => show(&desk.retry(&id).await?, json)?,
        Action::Compensate { id } => show(&desk.compensate(&id).await?, json)?,
        Action::Resolve { id, note } => show(&desk.resolve(&id, &note).await?, json)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Says whom the answer does without; success if that is nobody.
pub(super) fn missing(silent: &[String]) -> ExitCode {
    for service in silent {
        eprintln!("  not asked: {service}");
    }
    if silent.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_all(answers: &Answers<Saga>) -> Result<()> {
    let sagas = &answers.held;
    if sagas.is_empty() && answers.silent.is_empty() {
        return Ok(output::put("  every saga has ended\n")?);
    }
    let titles = ["service", "saga", "state", "step", "age", "reason"];
    let mut rows = vec![titles.map(|title| (title.to_owned(), Tone::Faint)).to_vec()];
    for Held { service, thing: saga } in sagas {
        rows.push(vec![
            (service.clone(), Tone::Plain),
            (saga.saga_id.clone(), Tone::Strong),
            (state_word(saga), tone(saga)),
            (saga.step.clone(), Tone::Plain),
            (age(saga), Tone::Plain),
            (saga.reason.clone(), Tone::Plain),
        ]);
    }
    Ok(output::put(&output::table(&rows))?)
}

fn show(held: &Held<Saga>, json: bool) -> Result<()> {
    if json {
        return output::json(&saga_json(held));
    }
    let saga = &held.thing;
    let row = |name: &str, value: String, tone| vec![(name.to_owned(), Tone::Faint), (value, tone)];
    let mut rows = vec![
        row("saga", saga.saga_id.clone(), Tone::Strong),
        row("service", held.service.clone(), Tone::Plain),
        row("state", state_word(saga), tone(saga)),
        row("age", age(saga), Tone::Plain),
    ];
    for (name, value) in [("step", &saga.step), ("reason", &saga.reason), ("owner", &saga.owner)] {
        if !value.is_empty() {
            rows.push(row(name, value.clone(), Tone::Plain));
        }
    }
    output::put(&output::table(&rows))?;
    let events: Vec<_> = saga
        .events
        .iter()
        .map(|event| {
            let time = event.time.as_ref().map(|time| written_time(time.seconds));
            vec![
                (event.version.to_string(), Tone::Faint),
                (time.unwrap_or_default(), Tone::Faint),
                (short(&event.r#type), Tone::Strong),
                (event.text.clone(), Tone::Plain),
            ]
        })
        .collect();
    if !events.is_empty() {
        output::put(&format!("\n{}", output::table(&events)))?;
    }
    Ok(())
}

/// A type's name without its package.
pub(super) fn short(name: &str) -> String {
    name.rsplit('.').next().unwrap_or(name).to_owned()
}

fn tone(saga: &Saga) -> Tone {
    match saga.state() {
        SagaState::Parked => Tone::Bad,
        SagaState::Compensating => Tone::Doubtful,
        SagaState::Forward | SagaState::Ended | SagaState::Unspecified => Tone::Plain,
    }
}

fn age(saga: &Saga) -> String {
    let seconds = saga.age.as_ref().map_or(0, |age| age.seconds);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}
