//! What a batch of commands works on, and what comes of it.

mod reservations;
mod shelf;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Adjustment, Announcement, Answer, Bucket, Cause, Command, Delivery, Line, Movement, News,
    Refusal, Reservation, Sku, Stock,
};

/// What is known about the id of a reservation.
#[derive(Clone, Debug)]
pub enum Slot {
    /// Nobody used the id before; it was seen now, by the database's clock.
    Fresh(OffsetDateTime),
    Known(Reservation),
}

/// The rows that a batch of commands works on, locked by whoever loaded them, and what the
/// commands did to them. Each command sees what those before it did.
#[derive(Debug, Default)]
pub struct Ledger {
    pub(super) stock: HashMap<Sku, Stock>,
    pub(super) slots: BTreeMap<Uuid, Slot>,
    pub(super) deliveries: HashMap<Uuid, Delivery>,
    pub(super) adjustments: HashMap<Uuid, Adjustment>,
    dirty_stock: BTreeSet<Sku>,
    dirty_reservations: BTreeSet<Uuid>,
    new_deliveries: Vec<Uuid>,
    new_adjustments: Vec<Uuid>,
    pub(super) movements: Vec<Movement>,
    announcements: Vec<Announcement>,
    /// Changes that nobody is told of: marks that were left, thresholds that were set.
    silent: usize,
}

/// All that a batch changed, ready to be written.
#[derive(Debug, Default)]
pub struct Writes {
    pub stock: Vec<Stock>,
    pub reservations: Vec<Reservation>,
    pub deliveries: Vec<Delivery>,
    pub adjustments: Vec<Adjustment>,
    pub movements: Vec<Movement>,
    pub announcements: Vec<Announcement>,
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
        adjustments: impl IntoIterator<Item = Adjustment>,
    ) -> Self {
        Self {
            stock: stock.into_iter().map(|stock| (stock.sku.clone(), stock)).collect(),
            slots,
            deliveries: deliveries.into_iter().map(|delivery| (delivery.id, delivery)).collect(),
            adjustments: adjustments.into_iter().map(|adjusted| (adjusted.id, adjusted)).collect(),
            ..Self::default()
        }
    }

    /// Decides one command and applies it, or changes nothing.
    pub fn apply(&mut self, command: &Command) -> Result<Answer, Refusal> {
        match command {
            Command::Receive { id, digest, sku, quantity } => {
                self.receive(*id, *digest, sku, *quantity).map(Answer::Delivered)
            }
            Command::Adjust(request) => self.adjust(request).map(Answer::Adjusted),
            Command::SetThreshold { sku, threshold, expected } => {
                self.set_threshold(sku, *threshold, *expected).map(Answer::Threshold)
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

    /// How many changes there are so far, those that nobody is told of included.
    pub fn changes(&self) -> usize {
        self.new_deliveries.len() + self.announcements.len() + self.silent
    }

    /// What others are told so far.
    pub fn announcements(&self) -> &[Announcement] {
        &self.announcements
    }

    /// What is to be written.
    pub fn into_writes(self) -> Writes {
        let Self { mut stock, mut slots, mut deliveries, mut adjustments, .. } = self;
        let written = self.dirty_stock.iter().filter_map(|sku| stock.remove(sku)).collect();
        let reservations = self
            .dirty_reservations
            .iter()
            .filter_map(|id| match slots.remove(id) {
                Some(Slot::Known(reservation)) => Some(reservation),
                _ => None,
            })
            .collect();
        Writes {
            stock: written,
            reservations,
            deliveries: self.new_deliveries.iter().filter_map(|id| deliveries.remove(id)).collect(),
            adjustments: self
                .new_adjustments
                .iter()
                .filter_map(|id| adjustments.remove(id))
                .collect(),
            movements: self.movements,
            announcements: self.announcements,
            unused_skus: stock.into_values().filter(|s| !s.is_known()).map(|s| s.sku).collect(),
        }
    }

    /// Moves pieces, and tells if the shelf is low or empty for it.
    fn shift(&mut self, line: &Line, from: Bucket, to: Bucket, cause: Cause) {
        let stock = self.stock.get_mut(&line.sku).expect("the stock of every held line is loaded");
        let before = stock.on_hand;
        stock.shift(from, to, line.quantity);
        let (on_hand, threshold) = (stock.on_hand, stock.threshold);
        let (sku, quantity) = (line.sku.clone(), line.quantity);
        self.dirty_stock.insert(sku.clone());
        self.movements.push(Movement { sku, from, to, quantity, cause });
        if before > threshold && on_hand <= threshold && threshold > 0 {
            self.tell(&line.sku, News::Low { on_hand, threshold });
        }
        if before > 0 && on_hand == 0 {
            self.tell(&line.sku, News::Depleted);
        }
    }

    /// Announces something about a SKU's stock.
    fn tell(&mut self, sku: &Sku, news: News) {
        let stock = self.stock.get_mut(sku).expect("what is told of is loaded");
        stock.told += 1;
        let version = stock.told;
        self.dirty_stock.insert(sku.clone());
        self.announcements.push(Announcement::Stock { sku: sku.clone(), version, news });
    }
}
