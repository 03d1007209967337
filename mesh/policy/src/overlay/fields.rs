//! Which keys there are, and between which bounds their values lie.

use std::{ops::RangeInclusive, time::Duration};

use serde_json::{Value, json};

use crate::{
    time,
    values::{
        Balance, Breaker, Budget, Bulkhead, Connection, Hedge, Outlier, Rate, Retry, Server, Target,
    },
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Values that can be named by keys.
pub(crate) trait Fields {
    /// Shows every value with its key, in a fixed order.
    fn each(&mut self, visit: &mut dyn FnMut(&str, Slot<'_>));

    /// Says which value contradicts another one, and why.
    fn check(&self) -> Result<(), (&'static str, String)> {
        Ok(())
    }
}

/// The place of one value, and its bounds.
pub(crate) enum Slot<'a> {
    Count(&'a mut u32, RangeInclusive<u32>),
    Size(&'a mut usize, RangeInclusive<usize>),
    Number(&'a mut f64, RangeInclusive<f64>),
    Time(&'a mut Duration, RangeInclusive<Duration>),
    /// A time whose upper bound a contract gives.
    Bounded(&'a mut Duration, Duration),
    /// A number whose upper bound a contract gives.
    Share(&'a mut usize, usize),
}

impl Slot<'_> {
    /// Puts a value there, or says why not.
    pub fn set(self, value: &toml::Value) -> Result<(), String> {
        match self {
            Slot::Count(place, range) => {
                let found = whole(value)?;
                *place = within(u32::try_from(found).ok(), &found, &range, "")?;
            }
            Slot::Size(place, range) => {
                let found = whole(value)?;
                *place = within(usize::try_from(found).ok(), &found, &range, "")?;
            }
            Slot::Share(place, most) => {
                let found = whole(value)?;
                let why = ", the contract's bound";
                *place = within(usize::try_from(found).ok(), &found, &(1..=most), why)?;
            }
            Slot::Number(place, range) => {
                let found = value.as_float().or_else(|| value.as_integer().map(|it| it as f64));
                let found = found.ok_or_else(|| format!("{} is no number", shown(value)))?;
                *place = within(Some(found), &found, &range, "")?;
            }
            Slot::Time(place, range) => *place = timed(value, &range, "")?,
            Slot::Bounded(place, most) => {
                *place = timed(value, &(MS..=most), ", the contract's maximum")?;
            }
        }
        Ok(())
    }

    /// The value that is there.
    pub fn value(&self) -> Value {
        match self {
            Slot::Count(place, _) => json!(**place),
            Slot::Size(place, _) | Slot::Share(place, _) => json!(**place),
            Slot::Number(place, _) => json!(**place),
            Slot::Time(place, _) | Slot::Bounded(place, _) => json!(time::text(**place)),
        }
    }
}

/// What a bound looks like to people.
trait Shown: PartialOrd + Copy {
    fn shown(self) -> String;
}

impl Shown for u32 {
    fn shown(self) -> String {
        self.to_string()
    }
}

impl Shown for usize {
    fn shown(self) -> String {
        self.to_string()
    }
}

impl Shown for f64 {
    fn shown(self) -> String {
        self.to_string()
    }
}

impl Shown for Duration {
    fn shown(self) -> String {
        time::text(self)
    }
}

fn within<T: Shown>(
    value: Option<T>,
    found: &dyn std::fmt::Display,
    range: &RangeInclusive<T>,
    why: &str,
) -> Result<T, String> {
    value.filter(|value| range.contains(value)).ok_or_else(|| {
        let (least, most) = (range.start().shown(), range.end().shown());
        format!("{found} is out of bounds: {least} to {most}{why}")
    })
}

fn whole(value: &toml::Value) -> Result<i64, String> {
    value.as_integer().ok_or_else(|| format!("{} is no whole number", shown(value)))
}

fn timed(
    value: &toml::Value,
    range: &RangeInclusive<Duration>,
    why: &str,
) -> Result<Duration, String> {
    let found = value.as_str().and_then(time::parse);
    let found =
        found.ok_or_else(|| format!("{} is no time such as \"250ms\" or \"5s\"", shown(value)))?;
    within(Some(found), &time::text(found), range, why)
}

fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => format!("\"{text}\""),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(truth) => truth.to_string(),
        other => format!("this {}", other.type_str()),
    }
}

/// Shows the values of an inner group with their keys behind its own.
pub(crate) fn inside(group: &str, fields: &mut dyn Fields, visit: &mut dyn FnMut(&str, Slot<'_>)) {
    fields.each(&mut |key, slot| visit(&format!("{group}.{key}"), slot));
}

/// Refuses a first value above the last one that it may grow to.
fn ordered(
    key: &'static str,
    first: Duration,
    last_key: &str,
    last: Duration,
) -> Result<(), (&'static str, String)> {
    if first <= last {
        return Ok(());
    }
    Err((key, format!("{} is above {last_key}, {}", time::text(first), time::text(last))))
}

impl Fields for Retry {
    fn each(&mut self, visit: &mut dyn FnMut(&str, Slot<'_>)) {
        visit("attempts", Slot::Count(&mut self.attempts, 1..=Retry::MAX_ATTEMPTS));
        visit("first_backoff", Slot::Time(&mut self.first_backoff, MS..=MINUTE));
        visit("multiplier", Slot::Number(&mut self.multiplier, 1.0..=10.0));
        visit("max_backoff", Slot::Time(&mut self.max_backoff, MS..=MINUTE));
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        ordered("retry.first_backoff", self.first_backoff, "max_backoff", self.max_backoff)
    }
}

impl Fields for Hedge {
    fn each(&mut self, visit: &mut dyn FnMut(&str, Slot<'_>)) {
        visit("attempts", Slot::Count(&mut self.attempts, 1..=Retry::MAX_ATTEMPTS));
        visit("min_delay", Slot::Time(&mut self.min_delay, MS..=MINUTE));
        visit("percentile", Slot::Number(&mut self.percentile, 0.5..=0.9999));
        visit("min_samples", Slot::Size(&mut self.min_samples, 1..=100_000));
        visit("max_share", Slot::Number(&mut self.max_share, 0.0..=0.5));
    }
}

impl Fields for Target {
    fn each(&mut self, visit: &mut dyn FnMut(&str, Slot<'_>)) {
        inside("budget", &mut self.budget, visit);
        inside("bulkhead", &mut self.bulkhead, visit);
        inside("breaker", &mut self.breaker, visit);
        inside("outlier", &mut self.outlier, visit);
        inside("balance", &mut self.balance, visit);
        inside("connection", &mut self.connection, visit);
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        let (breaker, connection) = (&self.breaker, &self.connection);
        ordered("breaker.open", breaker.open, "max_open", breaker.max_open)?;
        let (first, last) = (connection.first_backoff, connection.max_backoff);
        ordered("connection.first_backoff", first, "max_backoff", last)
    }
}

impl Fields for Budget {
    fn each(&mut self, visit: &mut dyn FnMut(&str, Slot<'_>)) {
        visit("tokens", Slot::Number(&mut self.tokens, 1.0..=1000.0));
        visit("ratio", Slot::Number(&mut self.ratio, 0.0..=1.0));
    }
}

impl Fields for Bulkhead {
    fn each(&mut self, visit: &mut dyn FnMut(&str, Slot<'_>)) {
        visit("calls", Slot::Size(&mut self.calls, 1..=65_536));
        visit("queue", Slot::Size(&mut self.queue, 0..=65_536));
    }
}

impl Fields for Breaker {
    fn each(&mut self, visit: &mut dyn FnMut(&str, Slot<'_>)) {
        visit("consecutive", Slot::Count(&mut self.consecutive, 1..=1000));
        visit("min_success", Slot::Number(&mut self.min_success, 0.0..=1.0));
        visit("window", Slot::Time(&mut self.window, SECOND..=10 * MINUTE));
        visit("min_calls", Slot::Count(&mut self.min_calls, 1..=100_000));
        visit("open", Slot::Time(&mut self.open, 100 * MS..=10 * MINUTE));
        visit("max_open", Slot::Time(&mut self.max_open, 100 * MS..=10 * MINUTE));
    }
}

impl Fields for Outlier {
    fn each(&mut self, visit: &mut dyn FnMut(&str, Slot<'_>)) {
        visit("interval", Slot::Time(&mut self.interval, SECOND..=10 * MINUTE));
        visit("min_hosts", Slot::Size(&mut self.min_hosts, 2..=1000));
        visit("min_calls", Slot::Count(&mut self.min_calls, 1..=100_000));
        visit("deviations", Slot::Number(&mut self.deviations, 0.5..=10.0));
        visit("max_share", Slot::Number(&mut self.max_share, 0.0..=1.0));
    }
}

impl Fields for Balance {
    fn each(&mut self, visit: &mut dyn FnMut(&str, Slot<'_>)) {
        visit("default_rtt", Slot::Time(&mut self.default_rtt, MS..=10 * SECOND));
        visit("decay", Slot::Time(&mut self.decay, 100 * MS..=10 * MINUTE));
        visit("penalty", Slot::Time(&mut self.penalty, MS..=5 * MINUTE));
        visit("slow_start", Slot::Time(&mut self.slow_start, Duration::ZERO..=10 * MINUTE));
        visit("repick", Slot::Time(&mut self.repick, 100 * MS..=10 * MINUTE));
        visit("max_wait", Slot::Time(&mut self.max_wait, Duration::ZERO..=MINUTE));
    }
}

impl Fields for Connection {
    fn each(&mut self, visit: &mut dyn FnMut(&str, Slot<'_>)) {
        visit("connect", Slot::Time(&mut self.connect, 10 * MS..=MINUTE));
        visit("first_backoff", Slot::Time(&mut self.first_backoff, 10 * MS..=MINUTE));
        visit("max_backoff", Slot::Time(&mut self.max_backoff, 10 * MS..=2 * MINUTE));
        // Servers of other makes end connections that ask more often than every ten seconds (A8).
        visit("ping", Slot::Time(&mut self.ping, 10 * SECOND..=HOUR));
        visit("ping_limit", Slot::Time(&mut self.ping_limit, 100 * MS..=5 * MINUTE));
    }
}

impl Fields for Rate {
    fn each(&mut self, visit: &mut dyn FnMut(&str, Slot<'_>)) {
        visit("per_second", Slot::Number(&mut self.per_second, 0.0..=1_000_000.0));
        visit("burst", Slot::Count(&mut self.burst, 1..=1_000_000));
    }
}

impl Fields for Server {
    fn each(&mut self, visit: &mut dyn FnMut(&str, Slot<'_>)) {
        inside("bulkhead", &mut self.bulkhead, visit);
        for (group, place) in
            [("total_rate", &mut self.total_rate), ("peer_rate", &mut self.peer_rate)]
        {
            let mut rate = place.unwrap_or(Rate { per_second: 0.0, burst: 1 });
            let before = rate;
            inside(group, &mut rate, visit);
            // None stays none unless something was said; `check` sees what is left unsaid.
            let is_off = rate.per_second == 0.0 && (before.per_second > 0.0 || rate == before);
            *place = (!is_off).then_some(rate);
        }
        visit("max_age", Slot::Time(&mut self.max_age, 10 * MS..=DAY));
        visit("age_grace", Slot::Time(&mut self.age_grace, 10 * MS..=HOUR));
        visit("max_idle", Slot::Time(&mut self.max_idle, SECOND..=DAY));
        visit("ping", Slot::Time(&mut self.ping, SECOND..=HOUR));
        visit("ping_limit", Slot::Time(&mut self.ping_limit, 100 * MS..=5 * MINUTE));
        visit("connections", Slot::Size(&mut self.connections, 1..=1_000_000));
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        let rates =
            [("total_rate.per_second", self.total_rate), ("peer_rate.per_second", self.peer_rate)];
        match rates.into_iter().find(|(_, rate)| rate.is_some_and(|rate| rate.per_second == 0.0)) {
            Some((key, _)) => Err((key, "burst is given, but not how many per second".to_owned())),
            None => Ok(()),
        }
    }
}
