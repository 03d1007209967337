//! What was read: rows of views, logs, streams and inboxes, ready to be compared.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use uuid::Uuid;

/// Everything that one round of an audit read.
#[derive(Debug, Default)]
pub struct Facts {
    pub orders: Orders,
    /// What the log tells of each order.
    pub stories: HashMap<Uuid, Story>,
    /// Streams of orders that are not at the version of their last event, or miss one.
    pub torn: Vec<Uuid>,
    pub view: OrderView,
    pub payments: Vec<Payment>,
    pub charges: Vec<Charge>,
    pub ledger: Vec<Account>,
    pub stock: HashMap<Bucket, i64>,
    pub movements: HashMap<Bucket, i64>,
    pub reservations: Vec<Reservation>,
    /// Pieces that are lost without having belonged to an order.
    pub write_offs: HashMap<Bucket, i64>,
    pub publications: Vec<Publication>,
    pub consumptions: Vec<Consumption>,
    pub dead_letters: Vec<DeadLetter>,
    /// How many databases were searched for dead letters.
    pub letter_boxes: usize,
}

/// An order as its service shows it to auditors.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderRow {
    pub state: String,
    pub currency: String,
    pub total: i64,
    pub refund_due: i64,
    /// Since it was placed.
    pub age: Duration,
    /// How long its saga has had work to do.
    pub awake_for: Option<Duration>,
}

/// Whether the rules of things at rest hold for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// They do.
    Settled,
    /// Not before an operator has decided.
    Parked,
    /// Not yet.
    Moving,
}

/// All orders, as read last, and whether they stood still since they were read first.
#[derive(Debug, Default)]
pub struct Orders(HashMap<Uuid, (OrderRow, Motion)>);

impl Orders {
    pub fn between(first: &HashMap<Uuid, OrderRow>, last: HashMap<Uuid, OrderRow>) -> Orders {
        let judged = last.into_iter().map(|(id, row)| {
            let motion = motion(first.get(&id), &row);
            (id, (row, motion))
        });
        Orders(judged.collect())
    }

    pub fn get(&self, id: Uuid) -> Option<(&OrderRow, Motion)> {
        self.0.get(&id).map(|(row, motion)| (row, *motion))
    }

    pub fn iter(&self) -> impl Iterator<Item = (Uuid, &OrderRow, Motion)> {
        self.0.iter().map(|(id, (row, motion))| (*id, row, *motion))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

fn motion(first: Option<&OrderRow>, last: &OrderRow) -> Motion {
    let shown =
        |row: &OrderRow| (row.state.clone(), row.currency.clone(), row.total, row.refund_due);
    let Some(first) = first.filter(|first| shown(first) == shown(last)) else {
        return Motion::Moving;
    };
    match last.state.as_str() {
        "NEEDS_ATTENTION" => Motion::Parked,
        "PENDING" | "CANCELLING" => Motion::Moving,
        // What was paid is on its way back until the saga rests.
        "LOST" if first.awake_for.is_some() => Motion::Moving,
        _ => Motion::Settled,
    }
}

/// What the public events of an order add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    pub state: &'static str,
    pub currency: String,
    pub total: i64,
    pub refund_due: i64,
    pub line_count: usize,
    /// How many pieces of each SKU were ordered.
    pub lines: BTreeMap<String, i64>,
    /// Why it cannot be told.
    pub fault: Option<String>,
}

/// The list of orders, and what the log says up to where the list has come. Read at one moment.
#[derive(Debug, Default)]
pub struct OrderView {
    pub rows: HashMap<Uuid, ViewRow>,
    /// The row that each order should have; why it cannot be told if that is so.
    pub replayed: HashMap<Uuid, Result<ViewRow, String>>,
    /// How many rows of the log are not in the list yet, and how long the oldest has waited.
    pub behind: (i64, Duration),
}

/// An order as the list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewRow {
    pub state: String,
    pub currency: String,
    pub total: i64,
    pub line_count: i32,
    pub version: i32,
}

/// Amounts of one payment or charge, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Still open.
    pub authorized: i64,
    pub captured: i64,
    pub refunded: i64,
}

impl Amounts {
    pub fn hold_nothing(&self) -> bool {
        self.authorized == 0 && self.captured == self.refunded
    }

    /// A sum that no amount can be stays the largest that one can.
    pub fn add(&mut self, other: &Amounts) {
        self.authorized = self.authorized.saturating_add(other.authorized);
        self.captured = self.captured.saturating_add(other.captured);
        self.refunded = self.refunded.saturating_add(other.refunded);
    }
}

#[derive(Clone, Debug)]
pub struct Payment {
    pub order: Uuid,
    pub key: Uuid,
    pub currency: String,
    pub amounts: Amounts,
}

#[derive(Clone, Debug)]
pub struct Charge {
    pub key: Uuid,
    pub currency: String,
    pub amounts: Amounts,
}

/// Balance of one account of the ledger.
#[derive(Clone, Debug)]
pub struct Account {
    pub currency: String,
    pub name: String,
    /// Wider than any amount that it is the sum of.
    pub amount: i128,
}

/// Where pieces of one SKU are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket {
    pub sku: String,
    pub name: String,
}

/// Pieces of one SKU that belong to an order.
#[derive(Clone, Debug)]
pub struct Reservation {
    pub order: Uuid,
    pub at: Bucket,
    pub quantity: i64,
}

/// A service's log and the stream that should hold it.
#[derive(Debug, Default)]
pub struct Publication {
    pub service: String,
    /// How long the stream keeps messages; for ever if none.
    pub max_age: Option<Duration>,
    /// The public rows, in log order.
    pub log: Vec<LogRow>,
    /// All messages, in stream order. Read before the log.
    pub messages: Vec<Message>,
}

impl Publication {
    /// True if the stream may have dropped a row of this age.
    pub fn has_expired(&self, row: &LogRow) -> bool {
        self.max_age.is_some_and(|limit| row.age > limit)
    }
}

#[derive(Clone, Debug)]
pub struct LogRow {
    pub seq: i64,
    pub id: Uuid,
    pub key: Uuid,
    pub version: i32,
    pub kind: Arc<str>,
    pub age: Duration,
}

/// What a message says about itself; none where it says nothing that can be read.
#[derive(Clone, Debug)]
pub struct Message {
    pub sequence: u64,
    pub position: Option<i64>,
    pub message_id: Option<Uuid>,
    pub id: Option<Uuid>,
    pub key: Option<Uuid>,
    pub version: Option<i32>,
    pub subject: Arc<str>,
}

/// What one service took of another's events. Read after the log.
#[derive(Debug, Default)]
pub struct Consumption {
    pub service: String,
    pub stream: String,
    pub subjects: Vec<String>,
    /// How far the durable consumer is; none if it does not exist.
    pub standing: Option<Standing>,
    /// Every event that was claimed.
    pub inbox: HashMap<Uuid, Claimed>,
    /// Events that were claimed, and are in no log.
    pub strangers: Vec<Uuid>,
}

#[derive(Clone, Copy, Debug)]
pub struct Standing {
    pub pending: u64,
    pub unacknowledged: u64,
}

/// How an event was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    Applied,
    Dead,
}

#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub service: String,
    pub stream: String,
    pub event: Uuid,
    pub subject: String,
    pub reason: String,
    pub error: String,
}
