//! What callers may ask for. Commands that come at the same time share a transaction: all of them
//! are decided in one batch and written at once, each with an outcome of its own.

mod batch;
mod positions;
mod track;

pub use positions::{Sighting, record_positions};
pub use track::Track;

use futures::{FutureExt as _, future::BoxFuture};
use mesh_log::{Meta, Watchers, Work, requests::Key};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{Address, Parcel, Refusal, Report, Shipment};

/// One request to change a shipment.
pub struct Command {
    pub shipment_id: Uuid,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
    pub action: Action,
    /// Where the request came from, for the event that it causes.
    pub meta: Meta,
}

/// What a command asks for. `key` is the request's, for commands that create nothing under it.
pub enum Action {
    Create { order_id: Uuid, customer_id: Option<Uuid>, address: Address, parcel: Parcel },
    Release { key: Key },
    Cancel { key: Key },
    Report { key: Key, report: Report },
}

/// What a command came to, and whether that is news.
pub struct Done {
    pub shipment: Shipment,
    pub changed: bool,
}

/// The work of the one writer of this service's shipments.
pub struct Shipments {
    /// Those who follow a shipment; its version for them is its way's last sequence.
    pub watchers: Watchers,
}

impl Work for Shipments {
    type Command = Command;
    type Outcome = Result<Done, Refusal>;

    fn label(command: &Command) -> &'static str {
        match command.action {
            Action::Create { .. } => "create_shipment",
            Action::Release { .. } => "release_shipment",
            Action::Cancel { .. } => "cancel_shipment",
            Action::Report { .. } => "record_carrier_update",
        }
    }

    fn apply<'c>(
        &'c self,
        tx: &'c mut PgConnection,
        commands: &'c [Command],
    ) -> BoxFuture<'c, sqlx::Result<Vec<Self::Outcome>>> {
        batch::apply(tx, commands).boxed()
    }

    fn committed(&self, _commands: &[Command], outcomes: &[Self::Outcome]) {
        for Done { shipment, .. } in outcomes.iter().flatten().filter(|done| done.changed) {
            self.watchers.notify(shipment.id, shipment.last_sequence());
        }
    }
}

impl Action {
    fn key(&self) -> Option<Key> {
        match self {
            Self::Create { .. } => None,
            Self::Release { key } | Self::Cancel { key } | Self::Report { key, .. } => Some(*key),
        }
    }

    /// Whether the command is carried out even if nobody knows the shipment yet.
    fn makes_shipment(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Cancel { .. })
    }
}
