//! Successes and failures of the last while, in ten slices.

use std::time::Duration;

use tokio::time::Instant;

const SLICES: u64 = 10;

/// A sliding window: a slice is emptied when its time comes again.
#[derive(Debug)]
pub(super) struct Window {
    begin: Instant,
    slices: [Slice; SLICES as usize],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    number: u64,
    good: u32,
    bad: u32,
}

impl Window {
    pub(super) fn new(begin: Instant) -> Self {
        Self { begin, slices: [Slice::default(); SLICES as usize] }
    }

    /// Takes in one call and, if it failed, returns the window's good and bad ones.
    pub(super) fn add(&mut self, now: Instant, length: Duration, good: bool) -> Option<(u32, u32)> {
        let number = self.number(now, length);
        let slice = &mut self.slices[(number % SLICES) as usize];
        if slice.number != number {
            *slice = Slice { number, ..Slice::default() };
        }
        if good {
            slice.good += 1;
            return None;
        }
        slice.bad += 1;
        let recent = self.slices.iter().filter(|slice| slice.number + SLICES > number);
        Some(recent.fold((0, 0), |(good, bad), slice| (good + slice.good, bad + slice.bad)))
    }

    /// Numbers begin with the count of slices, so that an empty slice is an old one.
    fn number(&self, now: Instant, length: Duration) -> u64 {
        let slice = (length.as_millis() as u64 / SLICES).max(1);
        SLICES + now.saturating_duration_since(self.begin).as_millis() as u64 / slice
    }
}
