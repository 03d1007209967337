use time::Duration;
use uuid::Uuid;

use super::{Adjust, Adjustment, Lines, Reservation, Sku, Stock, Threshold};

/// Identifies the content of a request.
pub type Digest = [u8; 16];

/// Something that may happen to the stock.
#[derive(Clone, Debug)]
pub enum Command {
    /// A supplier delivered pieces.
    Receive { id: Uuid, digest: Digest, sku: Sku, quantity: i64 },
    /// The books are to be brought in line with the shelf.
    Adjust(Adjust),
    /// From now on a SKU counts as low from here downwards; refused if the threshold's version is
    /// not the expected one.
    SetThreshold { sku: Sku, threshold: i64, expected: Option<i32> },
    /// Somebody wants pieces held.
    Reserve { id: Uuid, digest: Digest, order_id: Uuid, lines: Lines, hold: Duration },
    /// One reservation goes on.
    Change { reservation: Uuid, change: Change },
    /// All that was sold to one order goes on.
    Transfer { order_id: Uuid, transfer: Transfer },
}

impl Command {
    /// True if it wants pieces for an order: a hold, or the sale of one that had expired.
    pub fn wants_pieces(&self) -> bool {
        matches!(self, Self::Reserve { .. } | Self::Change { change: Change::Commit, .. })
    }
}

/// How one reservation can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The pieces are sold.
    Commit,
    /// The order does not want them.
    Release,
    /// They were handed to a carrier.
    Ship,
    /// The sale is undone.
    Restock,
    /// The hold is over. Only for a hold that is due by the database's clock.
    Expire,
}

impl Change {
    /// True if the change holds also for a reservation that has not arrived yet.
    pub fn leaves_a_mark(self) -> bool {
        matches!(self, Self::Release | Self::Restock)
    }
}

/// What a carrier did with an order's pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    Ship,
    WriteOff,
}

/// What a command that was not refused came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Delivered(Delivery),
    Adjusted(Adjustment),
    Threshold(Threshold),
    Reservation(Reservation),
    /// So many reservations of an order went on.
    Transferred(usize),
}

/// Pieces that a supplier delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: Uuid,
    pub digest: Digest,
    pub quantity: i64,
    /// The stock right after the delivery.
    pub stock: Stock,
}
