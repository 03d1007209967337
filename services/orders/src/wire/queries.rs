//! Lists of orders, and of what happened to one.

use mesh_rpc::{Fields, Invalid, page_token};
use shop::{money, orders::v1 as proto};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{state, timestamp, told};
use crate::{
    app::{Chapter, Paged, Wanted},
    domain::{Standing, State},
    store::{Filter, Listed, Place},
};

/// Which orders are asked for, where the page begins, and how large it is.
pub fn list_orders(
    request: &proto::ListOrdersRequest,
) -> Result<(Filter, Option<Place>, usize), Invalid> {
    let mut fields = Fields::default();
    let customer =
        (!request.customer_id.is_empty()).then(|| fields.uuid("customer_id", &request.customer_id));
    let standing = standing(&mut fields, request.state);
    let page = fields.page(&orders_query(request), request.page_size, &request.page_token);
    let after = page.after.as_deref().and_then(|text| {
        let place = place(text);
        if place.is_none() {
            fields.refuse_page_token();
        }
        place
    });
    fields.finish((Filter { customer, standing }, after, page.size))
}

/// The order that is asked about, the version that the page comes after, and how large it is.
pub fn list_order_events(
    request: &proto::ListOrderEventsRequest,
    only_of: Option<Uuid>,
) -> Result<(Wanted, i32, usize), Invalid> {
    let mut fields = Fields::default();
    let order = fields.uuid("order_id", &request.order_id);
    let page = fields.page(&events_query(request), request.page_size, &request.page_token);
    let after = page.after.map_or(Ok(0), |text| text.parse());
    if after.is_err() {
        fields.refuse_page_token();
    }
    fields.finish((Wanted { order, only_of }, after.unwrap_or_default(), page.size))
}

pub fn orders_page(
    request: &proto::ListOrdersRequest,
    page: &Paged<Listed, Place>,
) -> proto::ListOrdersResponse {
    let token = |place: Place| page_token(&orders_query(request), &place_text(place));
    proto::ListOrdersResponse {
        orders: page.items.iter().map(summary).collect(),
        next_page_token: page.next.map(token).unwrap_or_default(),
    }
}

pub fn order_events_page(
    request: &proto::ListOrderEventsRequest,
    page: &Paged<Chapter, i32>,
) -> proto::ListOrderEventsResponse {
    let token = |version: i32| page_token(&events_query(request), &version.to_string());
    proto::ListOrderEventsResponse {
        events: page.items.iter().map(event).collect(),
        next_page_token: page.next.map(token).unwrap_or_default(),
    }
}

fn orders_query(request: &proto::ListOrdersRequest) -> String {
    let proto::ListOrdersRequest { customer_id, state, .. } = request;
    format!("shop.orders.v1.OrderQueriesService/ListOrders {customer_id} {state}")
}

fn events_query(request: &proto::ListOrderEventsRequest) -> String {
    format!("shop.orders.v1.OrderQueriesService/ListOrderEvents {}", request.order_id)
}

fn standing(fields: &mut Fields, number: i32) -> Option<Standing> {
    use proto::OrderState;
    let state = match OrderState::try_from(number) {
        Ok(OrderState::Unspecified) => return None,
        Ok(OrderState::NeedsAttention) => return Some(Standing::Parked),
        Ok(OrderState::Pending) => State::Pending,
        Ok(OrderState::Confirmed) => State::Confirmed,
        Ok(OrderState::Rejected) => State::Rejected,
        Ok(OrderState::Cancelling) => State::Cancelling,
        Ok(OrderState::Cancelled) => State::Cancelled,
        Ok(OrderState::Shipped) => State::Shipped,
        Ok(OrderState::Delivered) => State::Delivered,
        Ok(OrderState::Lost) => State::Lost,
        Ok(OrderState::Returned) => State::Returned,
        Err(_) => {
            fields.refuse("state", "ENUM_UNKNOWN", "must be a state of orders");
            return None;
        }
    };
    Some(Standing::In(state))
}

/// Microseconds, as exact as the database is, and the order's id.
fn place_text(place: Place) -> String {
    format!("{}:{}", place.placed.unix_timestamp_nanos() / 1000, place.order)
}

fn place(text: &str) -> Option<Place> {
    let (micros, order) = text.split_once(':')?;
    let nanos = micros.parse::<i128>().ok()?.checked_mul(1000)?;
    let placed = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
    Some(Place { placed, order: order.parse().ok()? })
}

fn summary(listed: &Listed) -> proto::OrderSummary {
    proto::OrderSummary {
        order_id: listed.order.to_string(),
        customer_id: listed.customer.to_string(),
        state: state(listed.standing).into(),
        total: Some(money::to_wire(listed.total)),
        line_count: listed.lines,
        version: listed.version,
        create_time: Some(timestamp(listed.placed)),
        update_time: Some(timestamp(listed.updated)),
    }
}

fn event(chapter: &Chapter) -> proto::OrderEvent {
    proto::OrderEvent {
        version: chapter.shown.order.version,
        time: Some(timestamp(chapter.shown.updated)),
        r#type: chapter.kind.clone().unwrap_or_default(),
        state: state(chapter.shown.order.standing()).into(),
        reason: told(&chapter.event, &chapter.shown.order),
    }
}
