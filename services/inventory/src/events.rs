//! What this service tells the others: every change of a reservation, under its id and version,
//! and what is new about a SKU, under the id that is made of it.

use mesh_log::{Event, Meta};
use shop::inventory::v1 as proto;
use uuid::Uuid;

use crate::{
    domain::{Announcement, News, Sku, State},
    wire,
};

/// One row of the log per announcement, each with where it came from.
pub fn rows(announcements: &[Announcement], metas: &[Meta]) -> Vec<(Uuid, i32, Event)> {
    let row = |(announcement, meta): (&Announcement, &Meta)| {
        let (key, version, event) = event(announcement);
        (key, version, Event { meta: meta.clone(), ..event })
    };
    announcements.iter().zip(metas).map(row).collect()
}

/// What a SKU's stock is called where a UUID is needed; the contract of the events promises it.
pub fn stock_key(sku: &Sku) -> Uuid {
    Uuid::new_v5(&Uuid::nil(), format!("shop.inventory.v1.Stock/{sku}").as_bytes())
}

fn event(announcement: &Announcement) -> (Uuid, i32, Event) {
    match announcement {
        Announcement::Reservation { id, order_id, version, state, lines } => {
            let (reservation_id, order_id) = (id.to_string(), order_id.to_string());
            let event = of_reservation(*state, reservation_id, order_id, wire::lines(lines));
            (*id, *version, event)
        }
        Announcement::Stock { sku, version, news } => {
            (stock_key(sku), *version, of_stock(sku.to_string(), *news))
        }
    }
}

fn of_reservation(
    state: State,
    reservation_id: String,
    order_id: String,
    lines: Vec<proto::ReservationLine>,
) -> Event {
    match state {
        State::Reserved => Event::public(&proto::StockReserved { reservation_id, order_id, lines }),
        State::Committed => {
            Event::public(&proto::StockCommitted { reservation_id, order_id, lines })
        }
        State::Expired | State::Released => {
            let expired = state == State::Expired;
            Event::public(&proto::StockReleased { reservation_id, order_id, lines, expired })
        }
        State::Shipped => Event::public(&proto::StockShipped { reservation_id, order_id, lines }),
        State::Restocked => {
            Event::public(&proto::StockRestocked { reservation_id, order_id, lines })
        }
        State::Lost => Event::public(&proto::StockWrittenOff { reservation_id, order_id, lines }),
    }
}

fn of_stock(sku: String, news: News) -> Event {
    match news {
        News::Adjusted { adjustment, quantity, reason, on_hand } => {
            let (adjustment_id, reason) = (adjustment.to_string(), wire::reason(reason).into());
            let told = proto::StockAdjusted { adjustment_id, sku, quantity, reason, on_hand };
            Event::public(&told)
        }
        News::Low { on_hand, threshold: low_stock_threshold } => {
            Event::public(&proto::StockLow { sku, on_hand, low_stock_threshold })
        }
        News::Depleted => Event::public(&proto::StockDepleted { sku }),
    }
}
