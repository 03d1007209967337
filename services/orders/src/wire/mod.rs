//! Protobuf to domain and back. Parsing happens here and nowhere else.

use mesh_log::requests::{Key, digest};
use mesh_rpc::{Fields, Invalid};
use prost_types::Timestamp;
use shop::{common::v1 as common, money, orders::v1 as proto};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::{CancelOrder, PlaceOrder, Shown, Wanted},
    domain::{Line, Order, OrderEvent, Reason, Standing, State},
    store::Private,
};

mod carts;
mod queries;

pub use carts::{
    add_cart_line, cart, change_cart_line, clear_cart, get_cart, merge_carts, remove_cart_line,
    set_cart_lines,
};
pub use queries::{list_order_events, list_orders, order_events_page, orders_page};

pub fn place_order(request: &proto::PlaceOrderRequest) -> Result<PlaceOrder, Invalid> {
    let mut fields = Fields::default();
    let request_id = fields.uuid("request_id", &request.request_id);
    let customer = fields.uuid("customer_id", &request.customer_id);
    let cart_version = etag(&mut fields, "cart_etag", &request.cart_etag);
    let card_token = fields.text("card_token", &request.card_token, 1..=100);
    match &request.address {
        Some(given) => address(&mut fields, given),
        None => fields.refuse("address", "FIELD_MISSING", "must be given"),
    }
    let address = request.address.as_ref().map(prost::Message::encode_to_vec);
    let private = Private { address, card_token: Some(card_token) };
    let digest = digest(request);
    fields.finish(PlaceOrder { request_id, customer, cart_version, private, digest })
}

pub fn cancel_order(
    request: &proto::CancelOrderRequest,
    only_of: Option<Uuid>,
) -> Result<CancelOrder, Invalid> {
    let mut fields = Fields::default();
    let request_id = fields.uuid("request_id", &request.request_id);
    let order = fields.uuid("order_id", &request.order_id);
    let key = Key::new("shop.orders.v1.OrdersService/CancelOrder", "", request_id);
    let wanted = Wanted { order, only_of };
    fields.finish(CancelOrder { wanted, key, digest: digest(request) })
}

/// The order that is asked for, and the version if one is.
pub fn get_order(
    request: &proto::GetOrderRequest,
    only_of: Option<Uuid>,
) -> Result<(Wanted, Option<i32>), Invalid> {
    let mut fields = Fields::default();
    let order = fields.uuid("order_id", &request.order_id);
    fields.number("as_of_version", request.as_of_version.into(), 0..=i32::MAX.into());
    let version = Some(request.as_of_version).filter(|version| *version > 0);
    fields.finish((Wanted { order, only_of }, version))
}

/// The order that is watched, and the version that the caller knows.
pub fn watch_order(
    request: &proto::WatchOrderRequest,
    only_of: Option<Uuid>,
) -> Result<(Wanted, i32), Invalid> {
    let mut fields = Fields::default();
    let order = fields.uuid("order_id", &request.order_id);
    fields.number("after_version", request.after_version.into(), 0..=i32::MAX.into());
    fields.finish((Wanted { order, only_of }, request.after_version))
}

/// An etag is a version in decimal; callers need not know.
fn etag(fields: &mut Fields, field: &str, text: &str) -> i64 {
    match text.parse() {
        Ok(version) if version >= 0 => version,
        _ => {
            fields.refuse(field, "ETAG_MALFORMED", "must be an etag that GetCart gave");
            0
        }
    }
}

fn address(fields: &mut Fields, address: &common::Address) {
    fields.text("address.recipient", &address.recipient, 1..=200);
    let count = fields.count("address.lines", address.lines.len(), 1..=5);
    for (n, line) in address.lines[..count].iter().enumerate() {
        fields.text(&format!("address.lines[{n}]"), line, 1..=200);
    }
    fields.text("address.city", &address.city, 1..=100);
    fields.text("address.postal_code", &address.postal_code, 0..=20);
    let code = address.country_code.as_bytes();
    if code.len() != 2 || !code.iter().all(u8::is_ascii_uppercase) {
        let wrong = "must be two upper-case letters of ISO 3166-1";
        fields.refuse("address.country_code", "COUNTRY_CODE_MALFORMED", wrong);
    }
}

pub fn order(shown: &Shown) -> proto::Order {
    let order = &shown.order;
    let line = |line: &Line| proto::OrderLine {
        sku: line.sku.clone(),
        name: line.name.clone(),
        quantity: line.quantity,
        unit_price: Some(money::to_wire(line.unit_price)),
    };
    proto::Order {
        order_id: order.id.to_string(),
        customer_id: order.placement.customer.to_string(),
        state: state(order.standing()).into(),
        lines: order.placement.lines.iter().map(line).collect(),
        total: Some(money::to_wire(order.placement.total)),
        reason: why(order),
        version: order.version,
        create_time: Some(timestamp(shown.created)),
        update_time: Some(timestamp(shown.updated)),
    }
}

/// One step of an order's story; `kind` is the type of the event that announced it.
pub fn change(event: &OrderEvent, kind: String, shown: &Shown) -> proto::OrderChange {
    proto::OrderChange {
        version: shown.order.version,
        time: Some(timestamp(shown.updated)),
        state: state(shown.order.standing()).into(),
        reason: told(event, &shown.order),
        event: kind,
    }
}

/// Why an event happened, where it has a reason.
fn told(event: &OrderEvent, order: &Order) -> Option<proto::OrderReason> {
    match event {
        OrderEvent::Rejected(_)
        | OrderEvent::CancelRefused(_)
        | OrderEvent::NeedsAttention(_)
        | OrderEvent::Resolved(_) => why(order),
        _ => None,
    }
}

fn why(order: &Order) -> Option<proto::OrderReason> {
    let reason =
        |r: &Reason| proto::OrderReason { reason: r.reason.clone(), detail: r.detail.clone() };
    match &order.parked {
        Some(parked) => Some(reason(parked)),
        None => order.reason.as_ref().map(reason),
    }
}

fn state(standing: Standing) -> proto::OrderState {
    match standing {
        Standing::Parked => proto::OrderState::NeedsAttention,
        Standing::In(State::Pending) => proto::OrderState::Pending,
        Standing::In(State::Confirmed) => proto::OrderState::Confirmed,
        Standing::In(State::Rejected) => proto::OrderState::Rejected,
        Standing::In(State::Cancelling) => proto::OrderState::Cancelling,
        Standing::In(State::Cancelled) => proto::OrderState::Cancelled,
        Standing::In(State::Shipped) => proto::OrderState::Shipped,
        Standing::In(State::Delivered) => proto::OrderState::Delivered,
        Standing::In(State::Lost) => proto::OrderState::Lost,
        Standing::In(State::Returned) => proto::OrderState::Returned,
    }
}

fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp { seconds: time.unix_timestamp(), nanos: time.nanosecond().cast_signed() }
}
