//! An order as its stream's row holds it.

use prost::Message;
use shop::money::{Currency, Money};
use uuid::Uuid;

use crate::{
    domain::{Line, Order, Placement, Progress, Reason, State},
    numbers::{ACTIONS, UNDOS, by_number, number},
};

/// An order, and the digest of the request that placed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub order: Order,
    pub digest: [u8; 16],
}

/// The layout that is written. A reader knows this one and all before it.
const LAYOUT: u32 = 1;

#[derive(Clone, PartialEq, Message)]
struct Snapshot {
    #[prost(uint32, tag = "1")]
    layout: u32,
    #[prost(bytes = "vec", tag = "2")]
    digest: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    customer: Vec<u8>,
    #[prost(message, repeated, tag = "4")]
    lines: Vec<SnapshotLine>,
    #[prost(string, tag = "5")]
    currency: String,
    #[prost(int64, tag = "6")]
    total: i64,
    #[prost(int64, tag = "7")]
    cart_version: i64,
    #[prost(uint32, tag = "8")]
    state: u32,
    #[prost(message, optional, tag = "9")]
    reason: Option<SnapshotReason>,
    #[prost(message, optional, tag = "10")]
    parked: Option<SnapshotReason>,
    #[prost(message, optional, tag = "11")]
    progress: Option<SnapshotProgress>,
}

#[derive(Clone, PartialEq, Message)]
struct SnapshotLine {
    #[prost(string, tag = "1")]
    sku: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(int64, tag = "3")]
    quantity: i64,
    #[prost(int64, tag = "4")]
    unit_price: i64,
}

#[derive(Clone, PartialEq, Message)]
struct SnapshotReason {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    detail: String,
}

/// `kind`: 1 forward, 2 back, 3 refunding, 4 ended.
#[derive(Clone, PartialEq, Message)]
struct SnapshotProgress {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(uint32, tag = "2")]
    action: u32,
    #[prost(uint32, tag = "3")]
    undo: u32,
}

const STATES: [State; 9] = [
    State::Pending,
    State::Confirmed,
    State::Rejected,
    State::Cancelling,
    State::Cancelled,
    State::Shipped,
    State::Delivered,
    State::Lost,
    State::Returned,
];

/// The bytes that a stream's row holds.
pub fn encode(Kept { order, digest }: &Kept) -> Vec<u8> {
    let Placement { customer, lines, total, cart_version } = &order.placement;
    let line = |line: &Line| SnapshotLine {
        sku: line.sku.clone(),
        name: line.name.clone(),
        quantity: line.quantity,
        unit_price: line.unit_price.minor,
    };
    let reason = |reason: &Reason| SnapshotReason {
        reason: reason.reason.clone(),
        detail: reason.detail.clone(),
    };
    Snapshot {
        layout: LAYOUT,
        digest: digest.to_vec(),
        customer: customer.as_bytes().to_vec(),
        lines: lines.iter().map(line).collect(),
        currency: total.currency.as_str().to_owned(),
        total: total.minor,
        cart_version: *cart_version,
        state: number(&STATES, &order.state),
        reason: order.reason.as_ref().map(reason),
        parked: order.parked.as_ref().map(reason),
        progress: Some(progress_out(order.progress)),
    }
    .encode_to_vec()
}

/// The order that a stream's row holds; none if it cannot be read.
pub fn decode(id: Uuid, version: i32, bytes: &[u8]) -> Option<Kept> {
    let snapshot = Snapshot::decode(bytes).ok().filter(|s| s.layout == LAYOUT)?;
    let currency = Currency::parse(&snapshot.currency)?;
    let line = |line: SnapshotLine| Line {
        sku: line.sku,
        name: line.name,
        quantity: line.quantity,
        unit_price: Money::new(currency, line.unit_price),
    };
    let reason = |r: SnapshotReason| Reason { reason: r.reason, detail: r.detail };
    let placement = Placement {
        customer: Uuid::from_slice(&snapshot.customer).ok()?,
        lines: snapshot.lines.into_iter().map(line).collect(),
        total: Money::new(currency, snapshot.total),
        cart_version: snapshot.cart_version,
    };
    let order = Order {
        id,
        version,
        placement,
        state: *by_number(&STATES, snapshot.state)?,
        reason: snapshot.reason.map(reason),
        progress: progress_in(&snapshot.progress?)?,
        parked: snapshot.parked.map(reason),
    };
    Some(Kept { order, digest: snapshot.digest.try_into().ok()? })
}

fn progress_out(progress: Progress) -> SnapshotProgress {
    let (kind, action, undo) = match progress {
        Progress::Forward(action) => (1, number(&ACTIONS, &action), 0),
        Progress::Back { undo, reached } => (2, number(&ACTIONS, &reached), number(&UNDOS, &undo)),
        Progress::Refunding => (3, 0, 0),
        Progress::Ended => (4, 0, 0),
    };
    SnapshotProgress { kind, action, undo }
}

fn progress_in(progress: &SnapshotProgress) -> Option<Progress> {
    let action = || by_number(&ACTIONS, progress.action).copied();
    Some(match progress.kind {
        1 => Progress::Forward(action()?),
        2 => Progress::Back { undo: *by_number(&UNDOS, progress.undo)?, reached: action()? },
        3 => Progress::Refunding,
        4 => Progress::Ended,
        _ => return None,
    })
}
