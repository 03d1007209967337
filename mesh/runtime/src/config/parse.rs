//! Text to settings.

use std::time::Duration;

use super::{ConfigError, Source};
use crate::telemetry::level;

/// Where a service that is called can be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The service's name.
    pub service: String,
    /// Where its addresses come from.
    pub source: Source,
}

/// Parses `payments=static:127.0.0.1:1,127.0.0.1:2;catalog=dns:catalog.shop`; see [`Source`].
pub fn parse_discovery(text: &str) -> Result<Vec<Target>, ConfigError> {
    let mut targets: Vec<Target> = Vec::new();
    for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
        let target = target(entry)?;
        if targets.iter().any(|known| known.service == target.service) {
            return Err(ConfigError(format!("discovery names `{}` twice", target.service)));
        }
        targets.push(target);
    }
    Ok(targets)
}

pub(super) fn discovery(text: &str) -> Result<String, ConfigError> {
    parse_discovery(text).map(|_| text.to_owned())
}

fn target(entry: &str) -> Result<Target, ConfigError> {
    let (service, place) = entry
        .split_once('=')
        .ok_or_else(|| ConfigError(format!("`{entry}` is not SERVICE=SOURCE")))?;
    let service = service.trim();
    let source =
        place.parse().map_err(|error| ConfigError(format!("discovery of `{service}`: {error}")))?;
    Ok(Target { service: service.to_owned(), source })
}

/// Parses `250ms`, `5s`, `2m`; a number alone is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, ConfigError> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds_per_unit = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(ConfigError(format!("`{unit}` is no unit of time: ms, s, m or h"))),
    };
    let number: f64 =
        number.trim().parse().map_err(|_| ConfigError(format!("`{text}` is no duration")))?;
    Duration::try_from_secs_f64(number * seconds_per_unit)
        .map_err(|_| ConfigError(format!("`{text}` is out of range")))
}

pub(super) fn ratio(text: &str) -> Result<f64, ConfigError> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err(ConfigError(format!("`{text}` is not between 0 and 1"))),
    }
}

pub(super) fn threads(text: &str) -> Result<usize, ConfigError> {
    match text.parse::<usize>() {
        Ok(threads @ 1..=1024) => Ok(threads),
        _ => Err(ConfigError(format!("`{text}` is not between 1 and 1024"))),
    }
}

pub(super) fn log_level(text: &str) -> Result<String, ConfigError> {
    level::parse(text).map(|_| text.to_owned())
}

pub(super) fn endpoint(text: &str) -> Result<String, ConfigError> {
    let uri: http::Uri =
        text.parse().map_err(|error| ConfigError(format!("`{text}` is no address: {error}")))?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.authority().is_some() => Ok(text.to_owned()),
        _ => Err(ConfigError(format!("`{text}` is not http://HOST:PORT"))),
    }
}
