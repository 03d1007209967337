//! A shipment's life: HELD, RELEASED, DISPATCHED, then DELIVERED or LOST; or CANCELLED.

use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Country, Estimate, Terms, estimate};

/// A parcel for one order, or the mark that a cancel left before the parcel was announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipment {
    pub id: Uuid,
    /// `None` in a mark: whoever cancels knows the shipment's id only.
    pub order_id: Option<Uuid>,
    /// Who may see it besides those who handle it, if that was said.
    pub customer_id: Option<Uuid>,
    pub state: State,
    /// Counts the states that it was in, from 1.
    pub version: i32,
    pub created: OffsetDateTime,
    pub released: Option<OffsetDateTime>,
    pub dispatched: Option<OffsetDateTime>,
    /// When it was delivered, lost or cancelled.
    pub ended: Option<OffsetDateTime>,
    /// What is sent and for how much; `None` in a mark, and where nobody has said.
    pub terms: Option<Terms>,
    /// How many positions are known.
    pub positions: i32,
}

/// Where a parcel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Held,
    Released,
    Dispatched,
    Delivered,
    Lost,
    Cancelled,
}

/// What a carrier can say about a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    Dispatched,
    Delivered,
    Lost,
}

/// Why a command changes nothing. Every refusal is an answer, not a failure.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("no carrier serves {}", .country.as_str())]
    AddressNotServed { country: Country },
    #[error("the shipment is cancelled")]
    Cancelled,
    #[error("the shipment was cancelled before it arrived")]
    CancelledBeforeArrival,
    #[error("the request id was used before with other content")]
    ContentDiffers,
    #[error("the shipment has left")]
    Dispatched,
    #[error("there is no such shipment")]
    NotFound,
    #[error("a parcel that is {state} is not on its way")]
    NotDispatched { state: State },
    #[error("the parcel has come to entry {last} only")]
    SequenceAhead { last: i32 },
    #[error("a shipment has at most {most} positions")]
    TooManyPositions { most: i32 },
    #[error("a shipment that is {state} cannot become {reported}")]
    StateConflict { state: State, reported: State },
}

impl Shipment {
    /// Announces a parcel that must not leave yet.
    pub fn create(id: Uuid, order_id: Uuid, terms: Terms, now: OffsetDateTime) -> Self {
        let (order_id, terms) = (Some(order_id), Some(terms));
        Self { order_id, terms, ..Self::first(id, State::Held, now) }
    }

    /// The mark that refuses a shipment which arrives after its cancellation.
    pub fn tombstone(id: Uuid, now: OffsetDateTime) -> Self {
        Self { ended: Some(now), ..Self::first(id, State::Cancelled, now) }
    }

    fn first(id: Uuid, state: State, now: OffsetDateTime) -> Self {
        let (created, version) = (now, 1);
        let (order_id, customer_id, terms, positions) = (None, None, None, 0);
        let (released, dispatched, ended) = (None, None, None);
        Self {
            id,
            order_id,
            customer_id,
            state,
            version,
            created,
            released,
            dispatched,
            ended,
            terms,
            positions,
        }
    }

    /// Lets the parcel leave; true if that is new. A parcel that has left is released.
    pub fn release(&mut self, now: OffsetDateTime) -> Result<bool, Refusal> {
        match self.state {
            State::Held => {
                self.enter(State::Released, now);
                Ok(true)
            }
            State::Released | State::Dispatched | State::Delivered | State::Lost => Ok(false),
            State::Cancelled => Err(Refusal::Cancelled),
        }
    }

    /// Keeps the parcel from leaving; true if that is new. Refused once it has left.
    pub fn cancel(&mut self, now: OffsetDateTime) -> Result<bool, Refusal> {
        match self.state {
            State::Held | State::Released => {
                self.enter(State::Cancelled, now);
                Ok(true)
            }
            State::Cancelled => Ok(false),
            State::Dispatched | State::Delivered | State::Lost => Err(Refusal::Dispatched),
        }
    }

    /// Believes a carrier whose report can follow what is known of the parcel.
    pub fn report(&mut self, report: Report, now: OffsetDateTime) -> Result<(), Refusal> {
        let (state, reported) = (self.state, report.state());
        match (state, report) {
            (State::Released, Report::Dispatched)
            | (State::Dispatched, Report::Delivered | Report::Lost) => {
                self.enter(reported, now);
                Ok(())
            }
            _ => Err(Refusal::StateConflict { state, reported }),
        }
    }

    /// Whether the parcel has arrived, is lost, or will never leave: it changes no more, and nobody
    /// has to know any more where it goes.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// When it will arrive, as far as that is known and still to come.
    pub fn estimate(&self) -> Option<Estimate> {
        let terms = self.terms.filter(|_| !self.has_ended())?;
        Some(estimate(terms.zone, terms.parcel.speed, self.updated().date()))
    }

    /// When it came into its state.
    pub fn updated(&self) -> OffsetDateTime {
        self.ended.or(self.dispatched).or(self.released).unwrap_or(self.created)
    }

    /// The shipment as it was at an earlier `version`.
    ///
    /// What came before an end is certain, because states that do not end follow each other.
    pub fn at(&self, version: i32) -> Self {
        if version >= self.version {
            return self.clone();
        }
        let (released, dispatched) = match version {
            ..=1 => (None, None),
            2 => (self.released, None),
            3.. => (self.released, self.dispatched),
        };
        let state = match (released, dispatched) {
            (None, _) => State::Held,
            (Some(_), None) => State::Released,
            (Some(_), Some(_)) => State::Dispatched,
        };
        Self { state, version, released, dispatched, ended: None, ..self.clone() }
    }

    fn enter(&mut self, state: State, now: OffsetDateTime) {
        self.state = state;
        self.version += 1;
        match state {
            State::Held => {}
            State::Released => self.released = Some(now),
            State::Dispatched => self.dispatched = Some(now),
            State::Delivered | State::Lost | State::Cancelled => self.ended = Some(now),
        }
    }
}

impl State {
    /// As it stands in the database and in messages for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "HELD",
            Self::Released => "RELEASED",
            Self::Dispatched => "DISPATCHED",
            Self::Delivered => "DELIVERED",
            Self::Lost => "LOST",
            Self::Cancelled => "CANCELLED",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Report {
    fn state(self) -> State {
        match self {
            Self::Dispatched => State::Dispatched,
            Self::Delivered => State::Delivered,
            Self::Lost => State::Lost,
        }
    }
}

#[cfg(test)]
mod tests;
