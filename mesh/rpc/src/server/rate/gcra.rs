//! The generic cell rate algorithm (ITU-T I.371): a rate and a burst in one instant.

use std::time::Duration;

use mesh_policy::values::Rate;
use tokio::time::Instant;

/// A rate below one call in this time counts as that.
const LONGEST: f64 = 86_400.0;

/// When the next call would arrive if all came evenly; none is "long ago".
pub(in crate::server) type Due = Option<Instant>;

/// Returns what `due` becomes with one more call, or how long that call is too early.
pub(in crate::server) fn arrive(rate: &Rate, due: Due, now: Instant) -> Result<Instant, Duration> {
    let step = Duration::from_secs_f64((1.0 / rate.per_second).clamp(0.0, LONGEST));
    let due = due.map_or(now, |due| due.max(now));
    let slack = step.saturating_mul(rate.burst.saturating_sub(1));
    let early = (due - now).saturating_sub(slack);
    if early.is_zero() { Ok(due + step) } else { Err(early) }
}
