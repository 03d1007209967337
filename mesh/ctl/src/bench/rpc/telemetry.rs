//! What telemetry costs a call: the stack in two processes, one of which sends its signals.
//!
//! Telemetry is a process' own, so each side has one, and both are measured in turn, in short rounds.
//! A tenth of the traces is sampled, and goes with metrics and log lines to a collector in this
//! process, which takes them and does nothing: what that costs is measured with them.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mesh_runtime::Signal;
use serde::Serialize;

use super::load::{self, Round};
use super::report::{Figures, Ratio};
use super::sides::{self, Exports};
use super::{in_turn, runtime, sink};

/// The share of traces that the side with telemetry samples.
pub const RATIO: f64 = 0.1;

/// The same calls without telemetry and with it.
#[derive(Clone, Debug, Serialize)]
pub struct Telemetry {
    /// Callers, each with one call under way.
    pub callers: usize,
    /// Metrics are counted; nothing is sent.
    pub off: Figures,
    /// A tenth of the traces, all metrics and log lines are sent.
    pub on: Figures,
    /// Requests per second, with telemetry as a share of without.
    pub throughput: Ratio,
}

/// Measures both sides for `time` together. `side` makes the command that runs [`answer`].
///
/// # Errors
/// A side cannot be started, or a call failed.
pub fn compare(
    side: impl Fn(Option<&str>) -> Command,
    callers: usize,
    time: Duration,
) -> Result<Telemetry> {
    let collector = runtime("collector")?;
    let endpoint = collector.block_on(sink::start())?;
    let mut sides = [Side::start(side(None))?, Side::start(side(Some(&endpoint)))?];
    let pairs = in_turn(&mut sides, time, |side, time| side.round(callers, time))?;
    let (without, with): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
    Ok(Telemetry {
        callers,
        off: Figures::new(&without),
        on: Figures::new(&with),
        throughput: Ratio::new(pairs.iter().map(|(off, on)| on.rps / off.rps).collect()),
    })
}

/// Runs one side: makes a round of calls for each line of stdin, `CALLERS MILLISECONDS`, and answers
/// with a line that tells what it brought, until stdin ends.
///
/// # Errors
/// A call failed, or the other side of the pipe speaks nonsense.
pub fn answer(collector: Option<&str>) -> Result<()> {
    let (server, callers) = (runtime("server")?, runtime("callers")?);
    let exports = Exports { collector, signals: &Signal::ALL, ratio: RATIO };
    let (client, service) = sides::stack(&server, &callers, &exports)?;
    for line in std::io::stdin().lines() {
        let (count, time) = asked(&line?)?;
        let round = callers.block_on(load::round(&client, count, time))?;
        println!("{}", serde_json::to_string(&round)?);
    }
    drop(client);
    service.stop();
    server.block_on(service.finish());
    Ok(())
}

fn asked(line: &str) -> Result<(usize, Duration)> {
    let (callers, millis) = line.split_once(' ').context("CALLERS MILLISECONDS")?;
    Ok((callers.parse()?, Duration::from_millis(millis.parse()?)))
}

/// One side, in a process of its own that ends with this.
struct Side {
    process: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Side {
    fn start(mut command: Command) -> Result<Side> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let questions = process.stdin.take().context("no pipe to a side")?;
        let answers = process.stdout.take().context("no pipe from a side")?;
        Ok(Side { process, questions, answers: BufReader::new(answers).lines() })
    }

    fn round(&mut self, callers: usize, time: Duration) -> Result<Round> {
        writeln!(self.questions, "{callers} {}", time.as_millis())?;
        let answer = self.answers.next().context("a side ended before it answered")??;
        let round: Round = serde_json::from_str(&answer)?;
        ensure!(round.calls > 0, "no call was made");
        Ok(round)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
