//! The calls that wait: by class, by arrival, and by deadline.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::{Criticality, Permit};

/// When the oldest call of a class waits longer than this, its queue is no burst any more but
/// stands. Who came first would then be answered last before its deadline, and everybody nearly
/// too late; the newest have the most time left.
const STANDING: Duration = Duration::from_millis(50);

/// What a waiting call is told.
pub(super) type Word = Result<Permit, Out>;

/// Why a waiting call need not wait on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// Its deadline has passed.
    Expired,
    /// Its place went to another.
    Evicted,
}

/// Names a waiting call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    class: Criticality,
    number: u64,
}

#[derive(Debug)]
struct Entry {
    since: Instant,
    until: Instant,
    word: oneshot::Sender<Word>,
}

#[derive(Debug, Default)]
struct Lane {
    arrivals: BTreeMap<u64, Entry>,
    deadlines: BTreeSet<(Instant, u64)>,
}

/// Waiting calls. Each operation costs the logarithm of their number.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lanes: [Lane; 3],
    next: u64,
    len: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push(
        &mut self,
        class: Criticality,
        since: Instant,
        until: Instant,
        word: oneshot::Sender<Word>,
    ) -> Ticket {
        let number = self.next;
        self.next += 1;
        self.len += 1;
        let lane = &mut self.lanes[class as usize];
        lane.deadlines.insert((until, number));
        lane.arrivals.insert(number, Entry { since, until, word });
        Ticket { class, number }
    }

    /// Takes a call out that does not wait any more. Again is no matter.
    pub(super) fn remove(&mut self, ticket: Ticket) {
        self.take(ticket.class, ticket.number);
    }

    /// Takes the call out that is answered next: the most critical class first; in it the oldest,
    /// or the newest if the queue stands.
    pub(super) fn next(&mut self, now: Instant) -> Option<oneshot::Sender<Word>> {
        for class in Criticality::ALL.into_iter().rev() {
            let lane = &self.lanes[class as usize];
            let Some((oldest, entry)) = lane.arrivals.first_key_value() else { continue };
            let stands = now.saturating_duration_since(entry.since) > STANDING;
            let newest = lane.arrivals.last_key_value().filter(|_| stands);
            let number = *newest.map_or(oldest, |(newest, _)| newest);
            return self.take(class, number);
        }
        None
    }

    /// Takes a call out whose deadline has passed.
    pub(super) fn expired(&mut self, now: Instant) -> Option<(Criticality, oneshot::Sender<Word>)> {
        let (class, number) = Criticality::ALL.into_iter().find_map(|class| {
            let (until, number) = self.lanes[class as usize].deadlines.first()?;
            (*until <= now).then_some((class, *number))
        })?;
        self.take(class, number).map(|word| (class, word))
    }

    /// Takes the call out that is worth less than one of `class` that ends at `until`: of the
    /// least critical class the one with the least time left.
    pub(super) fn less_than(
        &mut self,
        class: Criticality,
        until: Instant,
    ) -> Option<(Criticality, oneshot::Sender<Word>)> {
        for lower in Criticality::ALL.into_iter().take_while(|lower| *lower <= class) {
            let Some((end, number)) = self.lanes[lower as usize].deadlines.first().copied() else {
                continue;
            };
            if lower < class || end < until {
                return self.take(lower, number).map(|word| (lower, word));
            }
        }
        None
    }

    fn take(&mut self, class: Criticality, number: u64) -> Option<oneshot::Sender<Word>> {
        let lane = &mut self.lanes[class as usize];
        let entry = lane.arrivals.remove(&number)?;
        lane.deadlines.remove(&(entry.until, number));
        self.len -= 1;
        Some(entry.word)
    }
}
