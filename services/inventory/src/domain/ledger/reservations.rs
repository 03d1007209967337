//! What happens to the pieces of orders.

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Ledger, Slot};
use crate::domain::{
    Announcement, Bucket, Cause, Change, Digest, Line, Lines, Origin, Refusal, Reservation, State,
    Stock, Transfer,
};

impl Ledger {
    /// Says whether a carrier may have done this, without applying it.
    pub fn check_transfer(&self, order_id: Uuid, transfer: Transfer) -> Result<(), Refusal> {
        let (from, done): (State, &[State]) = match transfer {
            Transfer::Ship => (State::Committed, &[State::Shipped, State::Lost]),
            Transfer::WriteOff => (State::Shipped, &[State::Lost]),
        };
        let states: Vec<State> = self.of_order(order_id).map(Reservation::state).collect();
        if states.iter().any(|state| *state == from || done.contains(state)) {
            return Ok(());
        }
        match (states.first(), transfer) {
            (None, _) => Err(Refusal::OrderUnknown),
            (Some(&state), Transfer::Ship) => Err(Refusal::ReservationNotCommitted { state }),
            (Some(&state), Transfer::WriteOff) => Err(Refusal::ReservationNotShipped { state }),
        }
    }

    /// What a reservation was at a version, for the answer to a repeated request.
    pub fn reservation_at(&self, id: Uuid, version: i32) -> Option<Reservation> {
        match self.slots.get(&id)? {
            Slot::Known(reservation) => Some(reservation.at(version)),
            Slot::Fresh(_) => None,
        }
    }

    pub(super) fn reserve(
        &mut self,
        id: Uuid,
        digest: Digest,
        order_id: Uuid,
        lines: &Lines,
        hold: Duration,
    ) -> Result<Reservation, Refusal> {
        let created_at = match self.slots.get(&id) {
            Some(Slot::Known(first)) => {
                return match &first.origin {
                    None => Err(Refusal::CancelledBeforeArrival),
                    Some(origin) if origin.digest == digest => Ok(first.at(1)),
                    Some(_) => Err(Refusal::RequestContentDiffers),
                };
            }
            Some(Slot::Fresh(now)) => *now,
            None => unreachable!("an id is kept free for every reservation"),
        };
        self.check_free(lines.as_slice())?;

        let origin = Origin { order_id, digest, expires_at: created_at + hold };
        let lines = lines.as_slice().to_vec();
        let states = Vec::with_capacity(1);
        let reservation = Reservation { id, origin: Some(origin), lines, created_at, states };
        Ok(self.enter(reservation, Bucket::OnHand, State::Reserved))
    }

    pub(super) fn change(&mut self, id: Uuid, change: Change) -> Result<Reservation, Refusal> {
        let reservation = match self.slots.get(&id) {
            Some(Slot::Known(reservation)) => reservation.clone(),
            Some(Slot::Fresh(now)) if change.leaves_a_mark() => {
                return Ok(self.leave_mark(id, change, *now));
            }
            _ => return Err(Refusal::ReservationNotFound),
        };
        let (state, from) = (reservation.state(), reservation.state().bucket());
        match next(state, change)? {
            None => Ok(reservation),
            Some(to) => {
                if state == State::Expired && to == State::Committed {
                    self.check_free(&reservation.lines)?;
                }
                Ok(self.enter(reservation, from, to))
            }
        }
    }

    pub(super) fn transfer(&mut self, order_id: Uuid, transfer: Transfer) -> usize {
        let (from, to) = match transfer {
            Transfer::Ship => (State::Committed, State::Shipped),
            Transfer::WriteOff => (State::Shipped, State::Lost),
        };
        let due: BTreeMap<Uuid, Reservation> = self
            .of_order(order_id)
            .filter(|reservation| reservation.state() == from)
            .map(|reservation| (reservation.id, reservation.clone()))
            .collect();
        let count = due.len();
        for reservation in due.into_values() {
            self.enter(reservation, from.bucket(), to);
        }
        count
    }

    fn of_order(&self, order_id: Uuid) -> impl Iterator<Item = &Reservation> {
        self.slots.values().filter_map(move |slot| match slot {
            Slot::Known(reservation) => {
                (reservation.order_id() == Some(order_id)).then_some(reservation)
            }
            Slot::Fresh(_) => None,
        })
    }

    /// Refuses the reservation that arrives under this id later.
    fn leave_mark(&mut self, id: Uuid, change: Change, created_at: OffsetDateTime) -> Reservation {
        let state = if change == Change::Restock { State::Restocked } else { State::Released };
        let mark =
            Reservation { id, origin: None, lines: Vec::new(), created_at, states: vec![state] };
        self.slots.insert(id, Slot::Known(mark.clone()));
        self.dirty_reservations.insert(id);
        self.silent += 1;
        mark
    }

    /// Brings a reservation into a state, its pieces from `from` to where that state has them.
    fn enter(&mut self, mut reservation: Reservation, from: Bucket, state: State) -> Reservation {
        let to = state.bucket();
        let moved = if from == to { Vec::new() } else { reservation.lines.clone() };
        reservation.states.push(state);
        let (id, order_id) = (reservation.id, reservation.order_id());
        if let Some(order_id) = order_id {
            let (version, lines) = (reservation.version(), moved.clone());
            let told = Announcement::Reservation { id, order_id, version, state, lines };
            self.announcements.push(told);
        }
        for line in &moved {
            self.shift(line, from, to, Cause::Reservation { id, order_id });
        }
        self.dirty_reservations.insert(reservation.id);
        self.slots.insert(reservation.id, Slot::Known(reservation.clone()));
        reservation
    }

    fn check_free(&self, lines: &[Line]) -> Result<(), Refusal> {
        let known = |line: &Line| self.stock.get(&line.sku).is_some_and(Stock::is_known);
        if let Some(line) = lines.iter().find(|line| !known(line)) {
            return Err(Refusal::SkuUnknown { sku: line.sku.clone() });
        }
        let free = |line: &Line| self.stock[&line.sku].covers(Bucket::OnHand, line);
        match lines.iter().find(|line| !free(line)) {
            Some(line) => Err(Refusal::OutOfStock { sku: line.sku.clone() }),
            None => Ok(()),
        }
    }
}

/// The state that a change leads to; `None` if it already holds.
fn next(state: State, change: Change) -> Result<Option<State>, Refusal> {
    use State::{Committed, Expired, Lost, Released, Reserved, Restocked, Shipped};
    match (change, state) {
        (Change::Commit, Reserved | Expired) => Ok(Some(Committed)),
        (Change::Commit, Committed) => Ok(None),
        (Change::Commit, Released | Restocked) => Err(Refusal::CancelledBeforeArrival),

        (Change::Release, Reserved | Expired | Committed) => Ok(Some(Released)),
        (Change::Restock, Reserved | Expired | Committed) => Ok(Some(Restocked)),
        (Change::Release | Change::Restock, Released | Restocked) => Ok(None),

        (Change::Commit | Change::Release | Change::Restock, Shipped | Lost) => {
            Err(Refusal::ReservationShipped)
        }

        (Change::Ship, Committed) => Ok(Some(Shipped)),
        (Change::Ship, Shipped | Lost) => Ok(None),
        (Change::Ship, _) => Err(Refusal::ReservationNotCommitted { state }),

        (Change::Expire, Reserved) => Ok(Some(Expired)),
        (Change::Expire, _) => Ok(None),
    }
}
