//! Whether an old system is asked at all: not while it fails again and again.

use std::time::{Duration, Instant};

/// Failures in a row after which it is left alone.
const FAILURES: u32 = 5;
/// For how long at first, and at most: twice as long each time that it fails again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The circuit of one system.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    failures: u32,
    /// Pauses in a row.
    pauses: u32,
    /// While it is open: when somebody may ask.
    next: Option<Instant>,
    /// Counts states, so that what an older request says is not taken for the answer of who looks.
    state: u64,
}

/// The state of the circuit that a request was made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

impl Circuit {
    /// Lets somebody ask, if the system is asked. One that was left alone is asked by one caller first,
    /// who has `limit` to say how it went until it is another's turn.
    pub(super) fn may_ask(&mut self, now: Instant, limit: Duration) -> Option<Ticket> {
        match self.next {
            None => Some(Ticket(self.state)),
            Some(next) if next <= now => {
                self.next = Some(now + limit);
                self.state += 1;
                Some(Ticket(self.state))
            }
            Some(_) => None,
        }
    }

    /// Takes in how it went. Returns whether it is open now, if that has changed.
    pub(super) fn note(&mut self, now: Instant, ticket: Ticket, is_good: bool) -> Option<bool> {
        if ticket != Ticket(self.state) {
            return None;
        }
        let was_open = self.next.is_some();
        if is_good {
            *self = Self { state: self.state + u64::from(was_open), ..Self::default() };
        } else {
            self.failures += 1;
            if was_open || self.failures >= FAILURES {
                self.next = Some(now + pause(self.pauses));
                self.pauses += 1;
                self.state += 1;
            }
        }
        let is_open = self.next.is_some();
        (is_open != was_open).then_some(is_open)
    }
}

fn pause(before: u32) -> Duration {
    PAUSE.0.saturating_mul(2_u32.saturating_pow(before.min(16))).min(PAUSE.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    /// One that has just been opened.
    fn open(now: Instant) -> Circuit {
        let mut circuit = Circuit::default();
        for failure in 1..=FAILURES {
            let ticket = circuit.may_ask(now, LIMIT).unwrap();
            let changed = circuit.note(now, ticket, false);
            assert_eq!(changed, (failure == FAILURES).then_some(true));
        }
        circuit
    }

    #[test]
    fn who_fails_again_and_again_is_left_alone_and_then_asked_by_one() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let mut circuit = open(begun);
        assert_eq!(circuit.may_ask(at(499), LIMIT), None);

        let one = circuit.may_ask(at(500), LIMIT).unwrap();
        assert_eq!(circuit.may_ask(at(501), LIMIT), None, "no other until it is known");
        assert_eq!(circuit.note(at(600), one, false), None, "it is open still");
        assert_eq!(circuit.may_ask(at(1599), LIMIT), None, "for twice as long");
        let one = circuit.may_ask(at(1600), LIMIT).unwrap();
        assert_eq!(circuit.note(at(1600), one, true), Some(false));
        for _ in 0..100 {
            assert!(circuit.may_ask(at(1600), LIMIT).is_some());
        }
    }

    #[test]
    fn what_was_asked_before_says_nothing_of_now() {
        let begun = Instant::now();
        let mut circuit = Circuit::default();
        let earlier = circuit.may_ask(begun, LIMIT).unwrap();
        for _ in 0..FAILURES {
            circuit.note(begun, earlier, false);
        }
        for is_good in [false, true, false] {
            assert_eq!(circuit.note(begun, earlier, is_good), None);
        }
        let later = begun + PAUSE.0;
        let one = circuit.may_ask(later, LIMIT).expect("many that failed at once are one pause");
        assert_eq!(circuit.note(later, earlier, true), None);
        assert_eq!(circuit.note(later, one, true), Some(false));
    }

    #[test]
    fn one_who_asked_and_went_away_costs_a_while_and_not_the_system() {
        let begun = Instant::now();
        let mut circuit = open(begun);
        let later = begun + PAUSE.0;
        let gone = circuit.may_ask(later, LIMIT).unwrap();
        assert_eq!(circuit.may_ask(later, LIMIT), None);
        let one = circuit.may_ask(later + LIMIT, LIMIT).unwrap();
        assert_eq!(circuit.note(later + LIMIT, gone, true), None);
        assert_eq!(circuit.note(later + LIMIT, one, true), Some(false));
    }

    #[test]
    fn a_success_between_failures_begins_anew_and_pauses_end_somewhere() {
        let now = Instant::now();
        let mut circuit = Circuit::default();
        for _ in 0..100 {
            for is_good in [false, false, false, false, true] {
                let ticket = circuit.may_ask(now, LIMIT).unwrap();
                assert_eq!(circuit.note(now, ticket, is_good), None);
            }
        }
        assert_eq!((pause(0), pause(1), pause(99)), (PAUSE.0, PAUSE.0 * 2, PAUSE.1));
    }
}
