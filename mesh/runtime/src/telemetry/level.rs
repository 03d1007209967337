//! What is logged, from the start on and changed while the process runs.

use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::Subscriber;
use tracing_subscriber::{filter::Targets, reload};

use crate::ConfigError;

static CURRENT: OnceLock<Current> = OnceLock::new();

struct Current {
    text: Mutex<String>,
    change: Box<dyn Fn(Targets) -> Result<(), reload::Error> + Send + Sync>,
}

/// Reads a level, or directives such as `info,mesh_events=debug`.
///
/// # Errors
/// Text that is neither.
pub(crate) fn parse(text: &str) -> Result<Targets, ConfigError> {
    let unknown = |why: &str| {
        let levels = "off, error, warn, info, debug or trace";
        ConfigError(format!("`{text}` {why}: give {levels}, or `info,TARGET=debug`"))
    };
    for directive in text.split(',').map(str::trim) {
        // Alone, the standard parser would take it for a target of which everything is logged.
        let is_target = directive.contains('=');
        let is_empty = directive.is_empty();
        if is_empty
            || !is_target && directive.parse::<tracing_subscriber::filter::LevelFilter>().is_err()
        {
            return Err(unknown("is no level"));
        }
    }
    text.parse().map_err(|error| unknown(&format!("cannot be read ({error})")))
}

/// A filter that starts with `targets`, which `text` told, and can be changed.
pub(super) fn filter<S: Subscriber + 'static>(
    text: &str,
    targets: Targets,
) -> reload::Layer<Targets, S> {
    let (layer, handle) = reload::Layer::new(targets);
    let text = Mutex::new(text.to_owned());
    let _ = CURRENT.set(Current { text, change: Box::new(move |targets| handle.reload(targets)) });
    layer
}

/// Returns what is logged now; none if this process' logs were set up by somebody else.
pub(crate) fn current() -> Option<String> {
    let text = &CURRENT.get()?.text;
    Some(text.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// Changes what is logged, for all services of this process, until it ends.
///
/// # Errors
/// Text that [`parse`] refuses; nothing changes then.
pub(crate) fn change(text: &str) -> Result<(), ConfigError> {
    let targets = parse(text)?;
    let nobody = || ConfigError("this process' logs are set up by somebody else".to_owned());
    let current = CURRENT.get().ok_or_else(nobody)?;
    let mut now = current.text.lock().unwrap_or_else(PoisonError::into_inner);
    (current.change)(targets).map_err(|_| nobody())?;
    let before = std::mem::replace(&mut *now, text.to_owned());
    drop(now);
    tracing::info!(before, now = text, "what is logged was changed");
    Ok(())
}
