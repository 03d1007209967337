//! Protobuf to domain and back. Parsing happens here and nowhere else.

use mesh_log::requests::{Key, digest};
use mesh_rpc::{Fields, Invalid};
use prost_types::Timestamp;
use shop::{common::v1 as common, money, orders::v1 as proto};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::{CancelOrder, PlaceOrder, SetCartLines, Shown},
    domain::{Cart, CartLine, Line, Order, OrderEvent, Reason, State},
    store::Private,
};

/// How many lines a cart holds at most.
const LINES: usize = 100;
/// How many pieces one line holds at most.
const QUANTITY: i64 = 1_000_000;

pub fn place_order(request: &proto::PlaceOrderRequest) -> Result<PlaceOrder, Invalid> {
    let mut fields = Fields::default();
    let request_id = fields.uuid("request_id", &request.request_id);
    let customer = fields.uuid("customer_id", &request.customer_id);
    let cart_version = etag(&mut fields, "cart_etag", &request.cart_etag);
    let card_token = fields.text("card_token", &request.card_token, 1..=100);
    match &request.address {
        Some(given) => address(&mut fields, given),
        None => fields.refuse("address", "FIELD_MISSING", "is required"),
    }
    let address = request.address.as_ref().map(prost::Message::encode_to_vec);
    let private = Private { address, card_token: Some(card_token) };
    let digest = digest(request);
    fields.finish(PlaceOrder { request_id, customer, cart_version, private, digest })
}

pub fn cancel_order(request: &proto::CancelOrderRequest) -> Result<CancelOrder, Invalid> {
    let mut fields = Fields::default();
    let request_id = fields.uuid("request_id", &request.request_id);
    let order = fields.uuid("order_id", &request.order_id);
    let key = Key::new("shop.orders.v1.OrdersService/CancelOrder", "", request_id);
    fields.finish(CancelOrder { order, key, digest: digest(request) })
}

/// The order that is asked for, and the version if one is.
pub fn get_order(request: &proto::GetOrderRequest) -> Result<(Uuid, Option<i32>), Invalid> {
    let mut fields = Fields::default();
    let order = fields.uuid("order_id", &request.order_id);
    fields.number("as_of_version", request.as_of_version.into(), 0..=i32::MAX.into());
    fields.finish((order, Some(request.as_of_version).filter(|version| *version > 0)))
}

/// The order that is watched, and the version that the caller knows.
pub fn watch_order(request: &proto::WatchOrderRequest) -> Result<(Uuid, i32), Invalid> {
    let mut fields = Fields::default();
    let order = fields.uuid("order_id", &request.order_id);
    fields.number("after_version", request.after_version.into(), 0..=i32::MAX.into());
    fields.finish((order, request.after_version))
}

pub fn get_cart(request: &proto::GetCartRequest) -> Result<Uuid, Invalid> {
    let mut fields = Fields::default();
    let customer = fields.uuid("customer_id", &request.customer_id);
    fields.finish(customer)
}

pub fn set_cart_lines(request: &proto::SetCartLinesRequest) -> Result<SetCartLines, Invalid> {
    let mut fields = Fields::default();
    let request_id = fields.uuid("request_id", &request.request_id);
    let customer = fields.uuid("customer_id", &request.customer_id);
    let count = fields.count("lines", request.lines.len(), 0..=LINES);
    let lines = cart_lines(&mut fields, &request.lines[..count]);
    let known = !request.etag.is_empty();
    let seen = known.then(|| etag(&mut fields, "etag", &request.etag));
    let subject = request.customer_id.as_str();
    let key = Key::new("shop.orders.v1.CartsService/SetCartLines", subject, request_id);
    fields.finish(SetCartLines { customer, lines, seen, key, digest: digest(request) })
}

fn cart_lines(fields: &mut Fields, lines: &[proto::CartLine]) -> Vec<CartLine> {
    let mut read: Vec<CartLine> = Vec::with_capacity(lines.len());
    for (n, line) in lines.iter().enumerate() {
        let field = format!("lines[{n}].sku");
        let is_sku = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
        if !(1..=40).contains(&line.sku.len()) || !line.sku.chars().all(is_sku) {
            fields.refuse(&field, "SKU_MALFORMED", "is 1 to 40 of A-Z, 0-9 and '-'");
        } else if read.iter().any(|earlier| earlier.sku == line.sku) {
            fields.refuse(&field, "SKU_REPEATED", "stands in an earlier line");
        }
        let field = format!("lines[{n}].quantity");
        let quantity = fields.number(&field, line.quantity, 1..=QUANTITY);
        read.push(CartLine { sku: line.sku.clone(), quantity });
    }
    read
}

/// An etag is a version in decimal; callers need not know.
fn etag(fields: &mut Fields, field: &str, text: &str) -> i64 {
    match text.parse() {
        Ok(version) if version >= 0 => version,
        _ => {
            fields.refuse(field, "ETAG_MALFORMED", "is the etag of a cart");
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
        let wrong = "is two upper-case letters of ISO 3166-1";
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
        state: state(order).into(),
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
    let told = match event {
        OrderEvent::Rejected(_) | OrderEvent::CancelRefused(_) | OrderEvent::NeedsAttention(_) => {
            why(&shown.order)
        }
        _ => None,
    };
    proto::OrderChange {
        version: shown.order.version,
        time: Some(timestamp(shown.updated)),
        state: state(&shown.order).into(),
        reason: told,
        event: kind,
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

fn state(order: &Order) -> proto::OrderState {
    match order.state {
        _ if order.parked.is_some() => proto::OrderState::NeedsAttention,
        State::Pending => proto::OrderState::Pending,
        State::Confirmed => proto::OrderState::Confirmed,
        State::Rejected => proto::OrderState::Rejected,
        State::Cancelling => proto::OrderState::Cancelling,
        State::Cancelled => proto::OrderState::Cancelled,
        State::Shipped => proto::OrderState::Shipped,
        State::Delivered => proto::OrderState::Delivered,
        State::Lost => proto::OrderState::Lost,
        State::Returned => proto::OrderState::Returned,
    }
}

pub fn cart(cart: &Cart, changed: Option<OffsetDateTime>) -> proto::Cart {
    let line = |line: &CartLine| proto::CartLine { sku: line.sku.clone(), quantity: line.quantity };
    proto::Cart {
        customer_id: cart.customer.to_string(),
        lines: cart.lines.iter().map(line).collect(),
        etag: cart.version.to_string(),
        update_time: changed.map(timestamp),
    }
}

fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp { seconds: time.unix_timestamp(), nanos: time.nanosecond().cast_signed() }
}
