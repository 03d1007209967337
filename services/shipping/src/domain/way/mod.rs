//! A parcel's way: its states and its positions, as one sequence.
//!
//! A parcel has positions only while it is DISPATCHED, so each entry's place follows from what it
//! is: states as their versions, then the positions by their numbers, then the state that ends it.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Refusal, Shipment, State};

/// The version with which a parcel is handed to its carrier.
const DISPATCHED: i32 = 3;
/// How many positions a shipment has at most.
const MOST_POSITIONS: i32 = 10_000;

/// Where a parcel was, as its carrier says. Personal data: it comes close to an address.
#[derive(Clone, PartialEq)]
pub struct Position {
    pub id: Uuid,
    /// By the carrier's clock.
    pub time: OffsetDateTime,
    pub place: Place,
}

/// A point on the map, in degrees, or its name.
#[derive(Clone, PartialEq)]
pub enum Place {
    Coordinates { latitude: f64, longitude: f64 },
    Named(String),
}

/// What became of a position that is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Located {
    /// It is the shipment's position with this number, counted from 1.
    Stored { number: i32 },
    /// It came after the parcel's end, and nobody follows it any more.
    Late,
}

/// One thing that is known of a parcel's way.
#[derive(Clone, PartialEq)]
pub struct Entry {
    /// From 1, without gaps.
    pub sequence: i32,
    pub what: What,
}

/// A state, with the shipment as it was then, or a position.
#[derive(Clone, PartialEq)]
pub enum What {
    State(Box<Shipment>),
    Position(Position),
}

impl Shipment {
    /// The sequence of the last entry of its way.
    pub fn last_sequence(&self) -> i32 {
        self.version + self.positions
    }

    /// Makes room for one more position.
    pub fn locate(&mut self) -> Result<Located, Refusal> {
        match self.state {
            State::Dispatched if self.positions >= MOST_POSITIONS => {
                Err(Refusal::TooManyPositions { most: MOST_POSITIONS })
            }
            State::Dispatched => {
                self.positions += 1;
                Ok(Located::Stored { number: self.positions })
            }
            State::Delivered | State::Lost => Ok(Located::Late),
            State::Held | State::Released | State::Cancelled => {
                Err(Refusal::NotDispatched { state: self.state })
            }
        }
    }

    /// The number of the last position that whoever knows the way up to `sequence` knows.
    pub fn positions_until(&self, sequence: i32) -> i32 {
        sequence.saturating_sub(DISPATCHED).clamp(0, self.positions)
    }

    /// What follows `after` on the way, up to the first position that is not among `positions`, the
    /// numbered ones that are at hand.
    pub fn way(&self, after: i32, positions: Vec<(i32, Position)>) -> Vec<Entry> {
        let states = (1..=self.version).map(|version| {
            let sequence = if version > DISPATCHED { version + self.positions } else { version };
            Entry { sequence, what: What::State(Box::new(self.at(version))) }
        });
        let positions = positions.into_iter().map(|(number, position)| Entry {
            sequence: DISPATCHED + number,
            what: What::Position(position),
        });
        let mut entries: Vec<_> =
            states.chain(positions).filter(|entry| entry.sequence > after).collect();
        entries.sort_by_key(|entry| entry.sequence);
        let known = (entries.iter().zip(after.saturating_add(1)..))
            .take_while(|(entry, sequence)| entry.sequence == *sequence)
            .count();
        entries.truncate(known);
        entries
    }
}

#[cfg(test)]
mod tests;
