//! What an operator can do about a parked order.

use mesh_log::{Change, Recorded};
use mesh_saga::{Command, Operated};
use uuid::Uuid;

use super::{Checkout, change};
use crate::{
    domain::OrderEvent,
    events,
    store::{Kept, OrderRows},
};

impl Operated for Checkout {
    fn operate(
        &self,
        _id: Uuid,
        kept: &Kept,
        command: &Command,
    ) -> Option<(Kept, Change<OrderRows>)> {
        let event = match command {
            Command::Retry => kept.order.resume(),
            Command::Compensate => kept.order.compensate(),
            Command::Resolve { note } => kept.order.resolve(note),
        }?;
        let (kept, change) = change("operate", kept, &[event], None);
        Some((kept, change))
    }

    fn tell(&self, event: &Recorded) -> String {
        match events::from_log(&event.kind, &event.body) {
            Some(OrderEvent::Placed(placement)) => {
                format!("placed, {} lines, {}", placement.lines.len(), placement.total)
            }
            Some(event) => format!("{event:?}"),
            None => "cannot be read by this version".to_owned(),
        }
    }
}
