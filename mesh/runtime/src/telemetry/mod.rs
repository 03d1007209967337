//! Signals of this process, set up once, whoever comes first: log lines on stdout, and traces, metrics
//! and log lines by OTLP.

mod attributes;
mod executor;
mod fields;
mod json;
pub(crate) mod level;
mod lines;
mod logs;
mod open;
pub(crate) mod otlp;
pub(crate) mod places;
mod push;
mod queue;
pub(crate) mod resource;
mod spans;
mod time;
mod traces;
mod wire;

use std::{
    io::IsTerminal as _,
    sync::{Mutex, PoisonError},
};

use opentelemetry::logs::LoggerProvider as _;
use tracing_subscriber::{Layer as _, layer::SubscriberExt as _};

use crate::{LogFormat, ServiceConfig};

pub(crate) use fields::Fields;
#[cfg(test)]
pub(crate) use lines::Keep;
pub(crate) use open::Open;
pub(crate) use otlp::exports_traces;
pub use otlp::flush;
pub(crate) use spans::{Spans, place_in};

static DONE: Mutex<bool> = Mutex::new(false);

/// Sets up logs, and what else `config` wants to be sent.
///
/// Only the first call of a process does anything; a subscriber that is set already stays.
pub fn init(name: &'static str, config: &ServiceConfig) -> anyhow::Result<()> {
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    if *done {
        return Ok(());
    }
    let targets = level::parse(&config.log_level)?;
    let resource = resource::begin(name, config);
    let sends = otlp::traces(name, config, &resource)?;
    // It goes first: those that write lines ask it for the place of a span.
    let mut layers = vec![Spans { sends }.boxed(), lines::Keep.boxed()];
    if let Some(provider) = otlp::logs(config, &resource)? {
        layers.push(logs::Logs(provider.logger(name)).boxed());
    }
    layers.push(if is_pretty(config.log_format) {
        tracing_subscriber::fmt::layer().with_target(false).boxed()
    } else {
        json::Json::new(std::io::stdout).boxed()
    });
    let filter = level::filter(&config.log_level, targets);
    let subscriber = tracing_subscriber::registry().with(layers).with(filter);
    // A test may have set its own.
    let _ = tracing::subscriber::set_global_default(subscriber);
    otlp::metrics(config)?;
    executor::show();
    *done = true;
    Ok(())
}

fn is_pretty(format: LogFormat) -> bool {
    match format {
        LogFormat::Auto => std::io::stdout().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Pretty => true,
    }
}
