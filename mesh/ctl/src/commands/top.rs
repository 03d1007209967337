//! `top`: services, calls, sagas and lag as they change.

use std::io::{IsTerminal as _, stdout};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use meshctl::top::{Glance, Look, Process, Table, View, draw, look};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Ending;
use crate::output::{self, Tone};
use crate::project::Project;
use crate::state::State;

/// How often it is looked whether the terminal is wanted back.
const GLANCE: Duration = Duration::from_millis(100);
const KEYS: &str = "q ends it";

/// How often to look, and how to show it.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::TOP_VIEW)]
pub struct Args {
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// Print one interval's figures, and end.
    #[arg(long)]
    once: bool,
    /// With --once: print JSON and nothing else.
    #[arg(long, requires = "once")]
    json: bool,
}

/// What moves the live view.
enum Input {
    Key(KeyCode),
    Resized,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let project = Project::find()?;
    let every = Duration::from_secs(args.interval);
    if args.once {
        let before = glance(&project).await?;
        sleep(every).await;
        let view = View::between(&before, &glance(&project).await?);
        if args.json {
            output::json(&view)?;
        } else {
            print(&view)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !stdout().is_terminal() {
        bail!("a live view needs a terminal: `{} top --once` prints it once", output::program());
    }
    // Before the terminal is taken: a shop that is not up is told of as ever.
    let first = glance(&project).await?;
    live(&project, every, first).await
}

/// Shows it until somebody has seen enough.
async fn live(project: &Project, every: Duration, first: Glance) -> Result<ExitCode> {
    let mut ending = Ending::listen()?;
    // A panic gives the terminal back, too: that is ratatui's own hook.
    let mut terminal = ratatui::try_init()?;
    let _restored = Restored;
    let mut inputs = inputs();
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    let (mut before, mut view) = (first, None);
    loop {
        terminal.draw(|frame| draw(frame, view.as_ref(), KEYS))?;
        tokio::select! {
            _ = ticks.tick() => {
                let now = glance(project).await?;
                view = Some(View::between(&before, &now));
                before = now;
            }
            input = inputs.recv() => match input {
                None | Some(Input::Key(KeyCode::Char('q') | KeyCode::Esc)) => break,
                Some(Input::Key(_) | Input::Resized) => {}
            },
            () = ending.wished() => break,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Gives the terminal back as it was.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Keys and changes of size. The thread ends soon after nobody listens any more.
fn inputs() -> mpsc::Receiver<Input> {
    let (heard, inputs) = mpsc::channel(16);
    thread::spawn(move || {
        while !heard.is_closed() {
            let input = match event::poll(GLANCE) {
                Ok(false) => continue,
                Ok(true) => event::read(),
                Err(error) => Err(error),
            };
            let input = match input {
                Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                    let ends = key.modifiers.contains(KeyModifiers::CONTROL);
                    // In this mode Ctrl-C is a key like another.
                    let code = if ends && key.code == KeyCode::Char('c') {
                        KeyCode::Esc
                    } else {
                        key.code
                    };
                    Input::Key(code)
                }
                Ok(Event::Resize(..)) => Input::Resized,
                Ok(_) => continue,
                // The terminal is gone.
                Err(_) => return,
            };
            if heard.blocking_send(input).is_err() {
                return;
            }
        }
    });
    inputs
}

/// Looks at what runs now: pids change.
async fn glance(project: &Project) -> Result<Glance> {
    let state = State::load(&project.home)?;
    let mut processes: Vec<Process> = state
        .instances()
        .map(|(name, replica, instance)| Process {
            name: name.to_owned(),
            replica,
            pid: instance.pid,
            admin: Some(instance.admin),
        })
        .collect();
    for (name, server) in [("postgres", &state.postgres), ("nats", &state.nats)] {
        processes.push(Process { name: name.to_owned(), replica: 0, pid: server.pid, admin: None });
    }
    Ok(look(processes).await)
}

fn print(view: &View) -> Result<()> {
    for (index, table) in view.tables(usize::MAX).iter().enumerate() {
        let gap = if index > 0 { "\n" } else { "" };
        output::put(&format!("{gap}{}", output::table(&rows(table))))?;
    }
    Ok(())
}

fn rows(table: &Table) -> Vec<Vec<(String, Tone)>> {
    let titles = table.titles.iter().map(|title| ((*title).to_owned(), Tone::Faint)).collect();
    let words = table
        .rows
        .iter()
        .map(|row| row.iter().map(|cell| (cell.text.clone(), tone(cell.look))).collect::<Vec<_>>());
    std::iter::once(titles).chain(words).collect()
}

fn tone(look: Look) -> Tone {
    match look {
        Look::Plain => Tone::Plain,
        Look::Faint => Tone::Faint,
        Look::Strong => Tone::Strong,
        Look::Good => Tone::Good,
        Look::Doubtful => Tone::Doubtful,
        Look::Bad => Tone::Bad,
    }
}
