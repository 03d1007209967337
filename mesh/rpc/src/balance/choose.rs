//! The better of two (power of two choices over peak EWMA).

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mesh_policy::values;
use rand::Rng as _;

use super::{Tried, dice::Dice, endpoint::Endpoint, link::Link};

/// A new endpoint's share begins with this part of its full one.
const FIRST_SHARE: f32 = 0.1;
/// What waits behind a peer's stream limit waits for a whole call.
const FULL: f32 = 1000.0;

/// An endpoint that could take a call.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) link: Arc<Link>,
}

/// Chooses among `ready`, at `now` milliseconds; looks at two of them. Only a repeated call, for
/// which endpoints are excluded, looks at all.
///
/// Between the two, one that nobody picked for a while goes first, so that an old penalty cannot
/// outlive its cause; otherwise the cheaper one.
pub(super) fn choose<'a>(
    ready: &'a [Candidate],
    tried: &Tried,
    values: &values::Balance,
    now: u32,
    dice: &Dice,
) -> Option<&'a Candidate> {
    let [first, second] = match tried.is_empty() {
        true => two(ready.len(), dice)?,
        false => two_untried(ready, tried, dice).or_else(|| two(ready.len(), dice))?,
    };
    let (first, second) = (ready.get(first)?, ready.get(second)?);
    let alone = first.endpoint.key == second.endpoint.key;
    let chosen = if alone || is_due(&first.endpoint, values, now) {
        first
    } else if is_due(&second.endpoint, values, now)
        || cost(second, values, now) < cost(first, values, now)
    {
        second
    } else {
        first
    };
    chosen.endpoint.picked.store(now, Ordering::Relaxed);
    chosen.endpoint.untried.store(false, Ordering::Relaxed);
    Some(chosen)
}

/// Two different indexes below `count`, or the only one twice.
fn two(count: usize, mut dice: &Dice) -> Option<[usize; 2]> {
    match count {
        0 => None,
        1 => Some([0, 0]),
        _ => {
            let first = dice.random_range(0..count);
            let second = dice.random_range(0..count - 1);
            Some([first, if second < first { second } else { second + 1 }])
        }
    }
}

fn two_untried(ready: &[Candidate], tried: &Tried, mut dice: &Dice) -> Option<[usize; 2]> {
    let untried = |(index, candidate): (usize, &Candidate)| {
        (!tried.contains(candidate.endpoint.key)).then_some(index)
    };
    let mut sample: Option<[usize; 2]> = None;
    // A reservoir of two.
    for (seen, index) in ready.iter().enumerate().filter_map(untried).enumerate() {
        sample = match (sample, seen) {
            (None, _) => Some([index, index]),
            (Some([first, _]), 1) => Some([first, index]),
            (Some(pair), _) => Some(match dice.random_range(0..=seen) {
                0 => [index, pair[1]],
                1 => [pair[0], index],
                _ => pair,
            }),
        };
    }
    sample
}

/// Whether it is its turn whatever it costs. True for one caller only.
fn is_due(endpoint: &Endpoint, values: &values::Balance, now: u32) -> bool {
    if endpoint.untried.load(Ordering::Relaxed) {
        return endpoint.untried.swap(false, Ordering::Relaxed);
    }
    let picked = endpoint.picked.load(Ordering::Relaxed);
    let age = now.wrapping_sub(picked);
    let due = age >= millis(values.repick) && age < 1 << 31;
    let orders = (Ordering::Relaxed, Ordering::Relaxed);
    due && endpoint.picked.compare_exchange(picked, now, orders.0, orders.1).is_ok()
}

/// What a call there would take, in microseconds, with those that are there already.
fn cost(candidate: &Candidate, values: &values::Balance, now: u32) -> f32 {
    let Candidate { endpoint, link } = candidate;
    let pending = endpoint.pending.load(Ordering::Relaxed);
    let rtt = endpoint.rtt.estimate(now, values.decay, values.default_rtt);
    let mut cost = rtt * (pending + 1) as f32 / share(endpoint, values, now);
    if pending >= link.max_streams() || link.is_closing() {
        cost *= FULL;
    }
    cost
}

fn share(endpoint: &Endpoint, values: &values::Balance, now: u32) -> f32 {
    let age = now.wrapping_sub(endpoint.warm_since.load(Ordering::Relaxed));
    let ramp = millis(values.slow_start).max(1);
    if age >= ramp { 1.0 } else { (age as f32 / ramp as f32).max(FIRST_SHARE) }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
