//! What is known of a service's endpoints, and how an answer changes it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Snapshot, State, schedule::Outcome};

/// What a look-up gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// There are addresses, at least one.
    Found {
        addresses: Vec<SocketAddr>,
        ttl: Option<Duration>,
        /// Why some of them could not be confirmed.
        flaw: Option<String>,
    },
    /// The source says that there are none.
    Absent { why: String, ttl: Option<Duration> },
    /// The source could not be asked, or did not make sense.
    Failed { why: String },
}

/// What the watch does not carry, because it changes without anybody having to act on it.
#[derive(Clone, Debug)]
pub(super) struct Details {
    pub(super) since: Instant,
    pub(super) why: Option<Arc<str>>,
    pub(super) next: Option<Instant>,
}

/// What is known, with what is needed to judge the next answer.
#[derive(Debug)]
pub(super) struct Known {
    snapshot: Snapshot,
    since: Instant,
    why: Option<Arc<str>>,
    /// Answers in a row, up to now, that said there are none.
    absent: u32,
    /// How many of them are believed.
    believed: u32,
    /// Look-ups in a row, up to now, that failed.
    failed: u32,
}

impl Known {
    /// Nothing yet. An answer that there are no addresses is believed the `believed`th time.
    pub(super) fn nothing(believed: u32, sidecar: bool) -> Self {
        let snapshot = Snapshot { addresses: Arc::default(), state: State::Pending, sidecar };
        Self { snapshot, since: Instant::now(), why: None, absent: 0, believed, failed: 0 }
    }

    /// Addresses that are right for ever.
    pub(super) fn fixed(mut addresses: Vec<SocketAddr>, sidecar: bool) -> Self {
        addresses.sort_unstable();
        addresses.dedup();
        let mut known = Self::nothing(1, sidecar);
        known.snapshot.addresses = addresses.into();
        known.snapshot.state = State::Fresh;
        known
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(super) fn details(&self) -> Details {
        Details { since: self.since, why: self.why.clone(), next: None }
    }

    /// Takes in what a look-up gave; returns what the next one depends on.
    pub(super) fn learn(&mut self, finding: Finding) -> Outcome {
        self.failed = if matches!(finding, Finding::Failed { .. }) { self.failed + 1 } else { 0 };
        let any = !self.snapshot.addresses.is_empty();
        match finding {
            Finding::Found { mut addresses, ttl, flaw } => {
                self.absent = 0;
                addresses.sort_unstable();
                addresses.dedup();
                if *addresses != *self.snapshot.addresses {
                    self.snapshot.addresses = addresses.into();
                }
                let state = if flaw.is_none() { State::Fresh } else { State::Stale };
                self.stand(state, flaw);
                Outcome::Answer { ttl }
            }
            Finding::Absent { why, ttl } => {
                self.absent = self.absent.saturating_add(1);
                if self.absent >= self.believed {
                    self.snapshot.addresses = Arc::default();
                    self.stand(State::Gone, Some(why));
                } else {
                    self.stand(if any { State::Stale } else { self.snapshot.state }, Some(why));
                }
                Outcome::Answer { ttl }
            }
            Finding::Failed { why } => {
                // What failed has not said "none" in a row; it has not said "some" either.
                self.stand(if any { State::Stale } else { self.snapshot.state }, Some(why));
                Outcome::Failure { in_a_row: self.failed, served: any }
            }
        }
    }

    fn stand(&mut self, state: State, why: Option<String>) {
        if state != self.snapshot.state {
            self.snapshot.state = state;
            self.since = Instant::now();
        }
        if why.as_deref() != self.why.as_deref() {
            self.why = why.map(Arc::from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(ports: &[u16]) -> Finding {
        let addresses = ports.iter().map(|port| ([127, 0, 0, 1], *port).into()).collect();
        Finding::Found { addresses, ttl: None, flaw: None }
    }

    fn absent() -> Finding {
        Finding::Absent { why: "NXDOMAIN".to_owned(), ttl: None }
    }

    fn failed() -> Finding {
        Finding::Failed { why: "SERVFAIL".to_owned() }
    }

    fn after(findings: impl IntoIterator<Item = Finding>) -> (State, Vec<u16>) {
        let mut known = Known::nothing(2, false);
        for finding in findings {
            known.learn(finding);
        }
        let ports = known.snapshot.addresses.iter().map(SocketAddr::port).collect();
        (known.snapshot.state, ports)
    }

    #[test]
    fn addresses_are_sorted_and_each_once() {
        assert_eq!(after([found(&[3, 1, 3, 2])]), (State::Fresh, vec![1, 2, 3]));
    }

    #[test]
    fn a_failure_never_takes_addresses_away() {
        let failures = || (0..100).map(|_| failed());

        assert_eq!(after([found(&[1])].into_iter().chain(failures())), (State::Stale, vec![1]));
        assert_eq!(after(failures()), (State::Pending, vec![]));
    }

    #[test]
    fn addresses_are_dropped_when_they_are_absent_twice_in_a_row() {
        assert_eq!(after([found(&[1]), absent()]), (State::Stale, vec![1]));
        assert_eq!(after([found(&[1]), absent(), absent()]), (State::Gone, vec![]));
        assert_eq!(after([found(&[1]), absent(), found(&[1])]), (State::Fresh, vec![1]));
        assert_eq!(
            after([found(&[1]), absent(), found(&[1]), absent()]),
            (State::Stale, vec![1]),
            "not in a row"
        );
    }

    #[test]
    fn a_failure_between_two_absences_does_not_hide_the_second() {
        assert_eq!(after([found(&[1]), absent(), failed(), absent()]), (State::Gone, vec![]));
    }

    #[test]
    fn what_never_was_is_gone_after_two_answers_and_comes_with_the_first() {
        assert_eq!(after([absent()]), (State::Pending, vec![]));
        assert_eq!(after([absent(), absent()]), (State::Gone, vec![]));
        assert_eq!(after([absent(), absent(), failed()]), (State::Gone, vec![]));
        assert_eq!(after([absent(), absent(), found(&[1])]), (State::Fresh, vec![1]));
    }

    #[test]
    fn what_could_be_confirmed_only_in_part_is_stale() {
        let addresses = vec![([127, 0, 0, 1], 1).into()];
        let flaw = Some("one target timed out".to_owned());

        let part = Finding::Found { addresses, ttl: None, flaw };

        assert_eq!(after([part]), (State::Stale, vec![1]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_in_a_state_is_counted_from_when_it_began() {
        let mut known = Known::nothing(2, false);
        known.learn(found(&[1]));
        tokio::time::advance(Duration::from_secs(5)).await;
        known.learn(failed());
        let begun = Instant::now();
        tokio::time::advance(Duration::from_secs(5)).await;

        assert_eq!(known.learn(failed()), Outcome::Failure { in_a_row: 2, served: true });

        assert_eq!(known.details().since, begun);
        assert_eq!(known.details().why.as_deref(), Some("SERVFAIL"));
    }
}
