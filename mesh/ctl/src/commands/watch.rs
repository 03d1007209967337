//! `demo --watch`: one order's life, told on the terminal.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use meshctl::services;
use meshctl::watch::{self, Ending, Kind, Moment, Options, Process, Shop};

use super::Ending as Signals;
use super::audit::places;
use super::demo::{Story, doors};
use super::keys::Keys;
use crate::output::{self, Tone};
use crate::project::Project;
use crate::state::State;

/// Time to read a line.
const PACE: Duration = Duration::from_millis(800);
const KEY: u8 = b'k';
/// Clears the line that the cursor is on.
const CLEAR: &str = "\r\x1b[2K";

/// Runs it. Exits 1 unless the order was confirmed and everybody says the same about it.
pub async fn run(project: &Project, story: &Story, seed: u64, json: bool) -> Result<ExitCode> {
    let state = State::load(&project.home)?;
    let home = project.home.clone();
    let shop = Shop {
        doors: doors(&state),
        places: places(&state)?,
        declarations: services::declarations()?,
        find: Box::new(move |name| find(&State::find(&home).ok().flatten(), name)),
    };
    let live = stdout().is_terminal() && std::env::var_os("CI").is_none() && !json;
    let pace = story.pace.unwrap_or(if live { PACE } else { Duration::ZERO });
    let options = Options { pace, kill: story.kill, seed };
    let (keys, kills) = Keys::listen(KEY);
    let holds = watch::can_hold(&shop.find);
    let offered = keys.heard() && live && holds && !pace.is_zero();
    if !json {
        introduce(offered, holds, pace);
    }
    let mut signals = Signals::listen()?;
    let tell = |moment: &Moment| {
        if !json {
            show(moment, live, offered);
        }
    };
    let ending = tokio::select! {
        ending = watch::run(shop, options, kills, tell) => ending?,
        () = signals.wished() => bail!("ended by a signal; the order goes on by itself"),
    };
    drop(keys);
    if json {
        output::json(&ending)?;
    } else {
        conclude(&ending, live);
    }
    let right = ending.confirmed && ending.proofs.iter().all(|proof| proof.right);
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The processes of a service or of a server now.
fn find(state: &Option<State>, name: &str) -> Vec<Process> {
    let Some(state) = state else { return Vec::new() };
    match name {
        "postgres" => vec![Process { pid: state.postgres.pid, admin: None }],
        "nats" => vec![Process { pid: state.nats.pid, admin: None }],
        _ => {
            let instances = state.services.get(name).into_iter().flatten();
            let process = |pid, admin| Process { pid, admin: Some(admin) };
            instances.map(|instance| process(instance.pid, instance.admin)).collect()
        }
    }
}

fn introduce(offered: bool, holds: bool, pace: Duration) {
    println!("\n  {}", output::toned("the life of one order", Tone::Strong));
    let how = match (pace.is_zero(), holds) {
        (true, _) => String::new(),
        (false, true) => {
            format!("  each service is held for {pace:?} before its step, so that you can follow\n")
        }
        (false, false) => {
            "  services share a process: what has happened is told slowly\n".to_owned()
        }
    };
    print!("{}", output::toned(&how, Tone::Faint));
    if offered {
        println!("  press {} to kill -9 whoever is next", output::toned("k", Tone::Strong));
    }
    println!();
}

fn show(moment: &Moment, live: bool, offered: bool) {
    let Moment { at, service, kind, text, .. } = moment;
    let (mark, tone) = match kind {
        Kind::Next => ("…", Tone::Faint),
        Kind::Recorded => ("✓", Tone::Good),
        Kind::Killed => ("✗", Tone::Bad),
        Kind::Back => ("↻", Tone::Doubtful),
    };
    let strong = if *kind == Kind::Recorded { Tone::Plain } else { tone };
    let line = format!(
        "  {}  {} {} {}",
        output::toned(&format!("{at:>7.3} s"), Tone::Faint),
        output::toned(mark, tone),
        output::toned(&format!("{service:<10}"), Tone::Strong),
        output::toned(text, strong),
    );
    if !live {
        println!("{line}");
    } else if *kind == Kind::Next {
        let hint = if offered { "   k kills it" } else { "" };
        print!("{CLEAR}{line}{}", output::toned(hint, Tone::Doubtful));
    } else {
        println!("{CLEAR}{line}");
    }
    let _ = stdout().flush();
}

fn conclude(ending: &Ending, live: bool) {
    if live {
        print!("{CLEAR}");
    }
    println!("\n  {}\n", output::toned("what everybody says about it", Tone::Strong));
    let mut rows = Vec::new();
    for proof in &ending.proofs {
        let (verdict, tone) = if proof.right { ("ok", Tone::Good) } else { ("wrong", Tone::Bad) };
        rows.push(vec![
            (proof.service.to_owned(), Tone::Strong),
            (verdict.to_owned(), tone),
            (proof.says.clone(), Tone::Plain),
        ]);
    }
    let (verdict, tone) = if ending.shop_clean { ("ok", Tone::Good) } else { ("look", Tone::Bad) };
    let says = match ending.shop_clean {
        true => format!("{} rules hold for the whole shop", ending.shop_rules),
        false => format!("not everything is right: run `{} audit`", output::program()),
    };
    rows.push(vec![
        ("auditor".to_owned(), Tone::Strong),
        (verdict.to_owned(), tone),
        (says, Tone::Plain),
    ]);
    print!("{}", output::table(&rows));
    if !ending.stopped_because.is_empty() {
        println!("\n  the order did not go its way: {}", ending.stopped_because);
    }
    let (program, order) = (output::program(), &ending.order_id);
    println!("\n  more of it: `{program} trace {order}`, `{program} sagas show {order}`");
}
