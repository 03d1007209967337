use std::collections::{BTreeMap, BTreeSet, HashMap};

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    Answer, Bucket, Change, Command, Delivery, Digest, Line, Lines, Origin, Refusal, Reservation,
    Sku, State, Stock, Transfer,
};

/// What is known about the id of a reservation.
#[derive(Clone, Debug)]
pub enum Slot {
    /// Nobody used the id before; it was seen now, by the database's clock.
    Fresh(OffsetDateTime),
    Known(Reservation),
}

/// Pieces that went from one bucket to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    pub sku: Sku,
    pub from: Bucket,
    pub to: Bucket,
    pub quantity: i64,
    pub reservation: Option<Uuid>,
    pub order_id: Option<Uuid>,
}

/// A change of a reservation that others may care about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    pub reservation: Uuid,
    pub order_id: Uuid,
    pub version: i32,
    /// The state it came to.
    pub state: State,
    /// The pieces that moved; none if an expired hold was given up.
    pub lines: Vec<Line>,
}

/// The rows that a batch of commands works on, locked by whoever loaded them, and what the
/// commands did to them. Each command sees what those before it did.
#[derive(Debug, Default)]
pub struct Ledger {
    pub(super) stock: HashMap<Sku, Stock>,
    pub(super) slots: BTreeMap<Uuid, Slot>,
    pub(super) deliveries: HashMap<Uuid, Delivery>,
    dirty_stock: BTreeSet<Sku>,
    dirty_reservations: BTreeSet<Uuid>,
    new_deliveries: Vec<Uuid>,
    pub(super) movements: Vec<Movement>,
    announcements: Vec<Announcement>,
    marks: usize,
}

/// All that a batch changed, ready to be written.
#[derive(Debug, Default)]
pub struct Writes {
    pub stock: Vec<Stock>,
    pub reservations: Vec<Reservation>,
    pub deliveries: Vec<Delivery>,
    pub movements: Vec<Movement>,
    pub announcements: Vec<Announcement>,
    /// Ids that were kept free for a reservation that was then refused.
    pub unused_reservations: Vec<Uuid>,
    /// SKUs that were kept free for a delivery that was then refused.
    pub unused_skus: Vec<Sku>,
}

impl Writes {
    /// True if no command changed anything.
    pub fn is_empty(&self) -> bool {
        self.stock.is_empty() && self.reservations.is_empty()
    }
}

impl Ledger {
    pub fn new(
        stock: impl IntoIterator<Item = Stock>,
        slots: BTreeMap<Uuid, Slot>,
        deliveries: impl IntoIterator<Item = Delivery>,
    ) -> Self {
        Self {
            stock: stock.into_iter().map(|stock| (stock.sku.clone(), stock)).collect(),
            slots,
            deliveries: deliveries.into_iter().map(|delivery| (delivery.id, delivery)).collect(),
            ..Self::default()
        }
    }

    /// Decides one command and applies it, or changes nothing.
    pub fn apply(&mut self, command: &Command) -> Result<Answer, Refusal> {
        match command {
            Command::Receive { id, digest, sku, quantity } => {
                self.receive(*id, *digest, sku, *quantity).map(Answer::Delivered)
            }
            Command::Reserve { id, digest, order_id, lines, hold } => {
                self.reserve(*id, *digest, *order_id, lines, *hold).map(Answer::Reservation)
            }
            Command::Change { reservation, change } => {
                self.change(*reservation, *change).map(Answer::Reservation)
            }
            Command::Transfer { order_id, transfer } => {
                self.check_transfer(*order_id, *transfer)?;
                Ok(Answer::Transferred(self.transfer(*order_id, *transfer)))
            }
        }
    }

    /// How many changes there are so far, marks that were left included.
    pub fn changes(&self) -> usize {
        self.new_deliveries.len() + self.announcements.len() + self.marks
    }

    /// The changes of reservations so far.
    pub fn announcements(&self) -> &[Announcement] {
        &self.announcements
    }

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

    /// What is to be written.
    pub fn into_writes(self) -> Writes {
        let Self { mut stock, mut slots, mut deliveries, .. } = self;
        let written = self.dirty_stock.iter().filter_map(|sku| stock.remove(sku)).collect();
        let reservations = self
            .dirty_reservations
            .iter()
            .filter_map(|id| match slots.remove(id) {
                Some(Slot::Known(reservation)) => Some(reservation),
                _ => None,
            })
            .collect();
        let unused = slots.iter().filter(|(_, slot)| matches!(slot, Slot::Fresh(_)));
        Writes {
            stock: written,
            reservations,
            deliveries: self.new_deliveries.iter().filter_map(|id| deliveries.remove(id)).collect(),
            movements: self.movements,
            announcements: self.announcements,
            unused_reservations: unused.map(|(id, _)| *id).collect(),
            unused_skus: stock.into_values().filter(|s| !s.is_known()).map(|s| s.sku).collect(),
        }
    }

    fn receive(
        &mut self,
        id: Uuid,
        digest: Digest,
        sku: &Sku,
        quantity: i64,
    ) -> Result<Delivery, Refusal> {
        if let Some(first) = self.deliveries.get(&id) {
            let same = first.digest == digest;
            return if same { Ok(first.clone()) } else { Err(Refusal::RequestContentDiffers) };
        }
        let line = Line { sku: sku.clone(), quantity };
        self.stock.entry(sku.clone()).or_insert_with(|| Stock::empty(sku.clone()));
        self.shift(&line, Bucket::Supplier, Bucket::OnHand, None, None);
        let delivery = Delivery { id, digest, quantity, stock: self.stock[sku].clone() };
        self.deliveries.insert(id, delivery.clone());
        self.new_deliveries.push(id);
        Ok(delivery)
    }

    fn reserve(
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

    fn change(&mut self, id: Uuid, change: Change) -> Result<Reservation, Refusal> {
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

    fn transfer(&mut self, order_id: Uuid, transfer: Transfer) -> usize {
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
        self.marks += 1;
        mark
    }

    /// Brings a reservation into a state, its pieces from `from` to where that state has them.
    fn enter(&mut self, mut reservation: Reservation, from: Bucket, state: State) -> Reservation {
        let to = state.bucket();
        let moved = if from == to { Vec::new() } else { reservation.lines.clone() };
        for line in &moved {
            self.shift(line, from, to, Some(reservation.id), reservation.order_id());
        }
        reservation.states.push(state);
        if let Some(order_id) = reservation.order_id() {
            self.announcements.push(Announcement {
                reservation: reservation.id,
                order_id,
                version: reservation.version(),
                state,
                lines: moved,
            });
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

    fn shift(
        &mut self,
        line: &Line,
        from: Bucket,
        to: Bucket,
        reservation: Option<Uuid>,
        order_id: Option<Uuid>,
    ) {
        let stock = self.stock.get_mut(&line.sku).expect("the stock of every held line is loaded");
        stock.shift(from, to, line.quantity);
        let (sku, quantity) = (line.sku.clone(), line.quantity);
        self.dirty_stock.insert(sku.clone());
        self.movements.push(Movement { sku, from, to, quantity, reservation, order_id });
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
