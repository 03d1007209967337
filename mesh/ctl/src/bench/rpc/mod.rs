//! What the stack costs a call: the same echo through tonic alone and through the stack.
//!
//! Both sides are measured in turn, in short rounds, so that what else the machine does falls on
//! both. Servers share a runtime and callers share another, each with as many threads as a service
//! has; connections, windows, message and handler are the same. The process counts its metrics and
//! samples its traces out. Every caller makes its next call when the last was answered.

mod layers;
mod load;
mod report;
mod sides;
mod sink;
mod telemetry;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mesh_runtime::ServiceConfig;
use tokio::runtime::{Builder, Runtime};

pub use layers::Layer;
pub use report::{Figures, Ratio, Report, Row, Target};
pub use telemetry::{RATIO, Telemetry, answer, compare};

use load::Round;
pub(super) use load::percentile;
use sides::Sides;

/// Fewer rounds of each side have no median worth the name.
const MIN_ROUNDS: u32 = 7;
/// Before the first round with so many callers.
const WARM_UP: Duration = Duration::from_millis(300);

/// How it is measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// Numbers of callers, one after the other.
    pub callers: Vec<usize>,
    /// For each of these: both sides together, warming up aside.
    pub time: Duration,
}

/// Measures; `step` is told what begins. It blocks, and takes its own runtimes.
///
/// # Errors
/// A call failed, on either side: what is measured then is something else.
pub fn run(options: &Options, mut step: impl FnMut(String)) -> Result<Report> {
    let (server, callers) = (runtime("server")?, runtime("callers")?);
    let sides = Sides::start(&server, &callers)?;
    let mut rows = Vec::with_capacity(options.callers.len());
    for &count in &options.callers {
        let (s, time) = (if count == 1 { "" } else { "s" }, options.time.as_secs());
        step(format!("{count} caller{s} for {time} s, tonic alone and the stack in turn"));
        rows.push(against_tonic(&callers, &sides, count, options.time)?);
    }
    step("each layer alone".to_owned());
    let layers = layers::measure(sides.stack_address())?;
    server.block_on(sides.stop());
    Ok(Report { rows, layers, telemetry: None })
}

/// As many threads as a service has that is not told otherwise.
fn runtime(name: &str) -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(ServiceConfig::default().worker_threads)
        .thread_name(name)
        .enable_all()
        .build()
        .context("no runtime")
}

fn against_tonic(runtime: &Runtime, sides: &Sides, callers: usize, time: Duration) -> Result<Row> {
    let pairs = in_turn(&mut [&sides.bare, &sides.stack], time, |side, time| {
        let answered = side.answered();
        let round = runtime.block_on(load::round(&side.client, callers, time));
        let round = round.with_context(|| format!("{} with {callers} callers", side.name))?;
        let answered = side.answered() - answered;
        ensure!(answered >= round.calls, "{} answered {answered} of {round:?}", side.name);
        Ok(round)
    })?;
    Ok(Row::new(callers, &pairs))
}

/// Measures two sides in short rounds for `time` together, each with a round before to warm up.
fn in_turn<S>(
    sides: &mut [S; 2],
    time: Duration,
    mut round: impl FnMut(&mut S, Duration) -> Result<Round>,
) -> Result<Vec<(Round, Round)>> {
    let count = u32::try_from(time.as_secs()).unwrap_or(u32::MAX).max(MIN_ROUNDS);
    let each = time / count / 2;
    let [first, second] = sides;
    for side in [&mut *first, &mut *second] {
        round(side, each.max(WARM_UP))?;
    }
    let mut pairs = Vec::new();
    for number in 0..count {
        // Who comes second finds caches and clock rate as the first left them.
        pairs.push(if number % 2 == 0 {
            let one = round(first, each)?;
            (one, round(second, each)?)
        } else {
            let two = round(second, each)?;
            (round(first, each)?, two)
        });
    }
    Ok(pairs)
}
