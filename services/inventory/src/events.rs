//! What this service tells the others: every change of a reservation, under its id and version.

use mesh_log::{Event, Meta};
use shop::inventory::v1 as proto;
use uuid::Uuid;

use crate::{
    domain::{Announcement, State},
    wire,
};

/// One row of the log per announcement, each with where it came from.
pub fn rows(announcements: &[Announcement], metas: &[Meta]) -> Vec<(Uuid, i32, Event)> {
    let row = |(announcement, meta): (&Announcement, &Meta)| {
        let event = Event { meta: meta.clone(), ..event(announcement) };
        (announcement.reservation, announcement.version, event)
    };
    announcements.iter().zip(metas).map(row).collect()
}

fn event(announcement: &Announcement) -> Event {
    let reservation_id = announcement.reservation.to_string();
    let order_id = announcement.order_id.to_string();
    let lines = wire::lines(&announcement.lines);
    match announcement.state {
        State::Reserved => Event::public(&proto::StockReserved { reservation_id, order_id, lines }),
        State::Committed => {
            Event::public(&proto::StockCommitted { reservation_id, order_id, lines })
        }
        State::Expired | State::Released => {
            let expired = announcement.state == State::Expired;
            Event::public(&proto::StockReleased { reservation_id, order_id, lines, expired })
        }
        State::Shipped => Event::public(&proto::StockShipped { reservation_id, order_id, lines }),
        State::Restocked => {
            Event::public(&proto::StockRestocked { reservation_id, order_id, lines })
        }
        State::Lost => Event::public(&proto::StockWrittenOff { reservation_id, order_id, lines }),
    }
}
