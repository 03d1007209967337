//! Follows a parcel's way.

use mesh_log::Pool;
use uuid::Uuid;

use crate::{
    domain::{Entry, Refusal},
    store,
};

/// How many positions are read at once.
const PAGE: i64 = 100;

/// Reads a parcel's way piece by piece, each entry once and in order.
pub struct Track {
    shipment: Uuid,
    /// Whose it has to be; anybody's if nobody is named.
    only_of: Option<Uuid>,
    after: i32,
    over: bool,
}

impl Track {
    /// A track that begins behind the entry with the sequence `after`.
    pub fn new(shipment: Uuid, after: i32, only_of: Option<Uuid>) -> Self {
        Self { shipment, only_of, after, over: false }
    }

    /// What follows; nothing if there is nothing new. Costs one round trip, or two.
    pub async fn go_on(&mut self, db: &Pool) -> sqlx::Result<Result<Vec<Entry>, Refusal>> {
        let Some(shipment) = store::get(db, self.shipment, self.only_of).await? else {
            return Ok(Err(Refusal::NotFound));
        };
        if self.after > shipment.last_sequence() {
            return Ok(Err(Refusal::SequenceAhead { last: shipment.last_sequence() }));
        }
        let known = shipment.positions_until(self.after);
        let positions = match shipment.positions {
            last if known < last => {
                store::positions_after(db, self.shipment, known, last, PAGE).await?
            }
            _ => Vec::new(),
        };
        let entries = shipment.way(self.after, positions);
        if let Some(last) = entries.last() {
            self.after = last.sequence;
        }
        self.over = shipment.has_ended() && self.after >= shipment.last_sequence();
        Ok(Ok(entries))
    }

    /// The sequence of the last entry that is known.
    pub fn sequence(&self) -> i32 {
        self.after
    }

    /// Whether nothing can follow any more.
    pub fn is_over(&self) -> bool {
        self.over
    }
}
