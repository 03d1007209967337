//! Carts.

use mesh_log::requests::{Key, digest};
use mesh_rpc::{Fields, Invalid};
use shop::orders::v1 as proto;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{etag, timestamp};
use crate::{
    app::{ChangeCart, Wish},
    domain::{Cart, CartChange, CartLine, LINES, QUANTITY},
};

pub fn get_cart(request: &proto::GetCartRequest) -> Result<Uuid, Invalid> {
    let mut fields = Fields::default();
    let customer = fields.uuid("customer_id", &request.customer_id);
    fields.finish(customer)
}

pub fn set_cart_lines(request: &proto::SetCartLinesRequest) -> Result<ChangeCart, Invalid> {
    let mut common = Common::read(&request.request_id, &request.customer_id, &request.etag);
    let count = common.fields.count("lines", request.lines.len(), 0..=LINES);
    let lines = cart_lines(&mut common.fields, &request.lines[..count]);
    common.finish("SetCartLines", Wish::Change(CartChange::Set(lines)), digest(request))
}

pub fn add_cart_line(request: &proto::AddCartLineRequest) -> Result<ChangeCart, Invalid> {
    let mut common = Common::read(&request.request_id, &request.customer_id, &request.etag);
    let line = line(&mut common.fields, &request.sku, request.quantity);
    common.finish("AddCartLine", Wish::Change(CartChange::Add(line)), digest(request))
}

pub fn change_cart_line(request: &proto::ChangeCartLineRequest) -> Result<ChangeCart, Invalid> {
    let mut common = Common::read(&request.request_id, &request.customer_id, &request.etag);
    let line = line(&mut common.fields, &request.sku, request.quantity);
    common.finish("ChangeCartLine", Wish::Change(CartChange::Change(line)), digest(request))
}

pub fn remove_cart_line(request: &proto::RemoveCartLineRequest) -> Result<ChangeCart, Invalid> {
    let mut common = Common::read(&request.request_id, &request.customer_id, &request.etag);
    let sku = sku(&mut common.fields, "sku", &request.sku);
    common.finish("RemoveCartLine", Wish::Change(CartChange::Remove(sku)), digest(request))
}

pub fn clear_cart(request: &proto::ClearCartRequest) -> Result<ChangeCart, Invalid> {
    let common = Common::read(&request.request_id, &request.customer_id, &request.etag);
    common.finish("ClearCart", Wish::Change(CartChange::Clear), digest(request))
}

pub fn merge_carts(request: &proto::MergeCartsRequest) -> Result<ChangeCart, Invalid> {
    let mut common = Common::read(&request.request_id, &request.customer_id, &request.etag);
    let source = common.fields.uuid("source_customer_id", &request.source_customer_id);
    if source == common.customer {
        let wrong = "must not be the customer whose cart receives";
        common.fields.refuse("source_customer_id", "CUSTOMERS_EQUAL", wrong);
    }
    let seen = seen(&mut common.fields, "source_etag", &request.source_etag);
    common.finish("MergeCarts", Wish::Merge { source, seen }, digest(request))
}

/// What every change of a cart says.
struct Common {
    fields: Fields,
    request_id: Uuid,
    customer: Uuid,
    seen: Option<i64>,
}

impl Common {
    fn read(request_id: &str, customer: &str, etag: &str) -> Self {
        let mut fields = Fields::default();
        Self {
            request_id: fields.uuid("request_id", request_id),
            customer: fields.uuid("customer_id", customer),
            seen: seen(&mut fields, "etag", etag),
            fields,
        }
    }

    fn finish(self, rpc: &str, wish: Wish, digest: [u8; 16]) -> Result<ChangeCart, Invalid> {
        let Self { fields, request_id, customer, seen } = self;
        let method = format!("shop.orders.v1.CartsService/{rpc}");
        // Not as it was sent: a customer has one id, however it is spelt.
        let key = Key::new(&method, &customer.to_string(), request_id);
        fields.finish(ChangeCart { customer, wish, seen, key, digest })
    }
}

fn seen(fields: &mut Fields, field: &str, text: &str) -> Option<i64> {
    (!text.is_empty()).then(|| etag(fields, field, text))
}

fn line(fields: &mut Fields, given: &str, quantity: i64) -> CartLine {
    let sku = sku(fields, "sku", given);
    CartLine { sku, quantity: fields.number("quantity", quantity, 1..=QUANTITY) }
}

fn cart_lines(fields: &mut Fields, lines: &[proto::CartLine]) -> Vec<CartLine> {
    let mut read: Vec<CartLine> = Vec::with_capacity(lines.len());
    for (n, line) in lines.iter().enumerate() {
        let field = format!("lines[{n}].sku");
        let sku = sku(fields, &field, &line.sku);
        if read.iter().any(|earlier| earlier.sku == sku) {
            fields.refuse(&field, "SKU_REPEATED", "must not be the SKU of an earlier line");
        }
        let field = format!("lines[{n}].quantity");
        let quantity = fields.number(&field, line.quantity, 1..=QUANTITY);
        read.push(CartLine { sku, quantity });
    }
    read
}

fn sku(fields: &mut Fields, field: &str, given: &str) -> String {
    let is_sku = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
    if !(1..=40).contains(&given.len()) || !given.chars().all(is_sku) {
        fields.refuse(field, "SKU_MALFORMED", "must be 1 to 40 of A-Z, 0-9 and '-'");
    }
    given.to_owned()
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
