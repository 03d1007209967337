//! What happened to a shipment, as others hear of it. No personal data: whoever needs the address
//! asks for it.

use mesh_log::{Event, Meta};
use shop::shipping::v1 as proto;

use crate::domain::{Shipment, State};

/// Announces the state that the shipment has just come into; nothing for a mark, which is no
/// shipment.
pub fn announce(shipment: &Shipment, meta: Meta) -> Option<Event> {
    let shipment_id = shipment.id.to_string();
    let order_id = shipment.order_id?.to_string();
    let event = match shipment.state {
        State::Held => Event::public(&proto::ShipmentCreated { shipment_id, order_id }),
        State::Released => Event::public(&proto::ShipmentReleased { shipment_id, order_id }),
        State::Dispatched => Event::public(&proto::ShipmentDispatched { shipment_id, order_id }),
        State::Delivered => Event::public(&proto::ShipmentDelivered { shipment_id, order_id }),
        State::Lost => Event::public(&proto::ShipmentLost { shipment_id, order_id }),
        State::Cancelled => Event::public(&proto::ShipmentCancelled { shipment_id, order_id }),
    };
    Some(Event { meta, ..event })
}
