//! Requests, read. Parsing happens here and nowhere else.

use mesh_rpc::{Fields, Invalid};
use shop::storefront::v1 as proto;
use uuid::Uuid;

const LONGEST_SKU: usize = 40;
const LONGEST_PREFIX: usize = 100;

/// What the first page is asked for.
pub struct Home {
    pub customer: Option<Uuid>,
    pub category: Option<Uuid>,
}

pub fn home(request: &proto::GetHomePageRequest) -> Result<Home, Invalid> {
    let mut fields = Fields::default();
    let mut optional =
        |field: &str, value: &str| (!value.is_empty()).then(|| fields.uuid(field, value));
    let customer = optional("customer_id", &request.customer_id);
    let category = optional("category_id", &request.category_id);
    fields.finish(Home { customer, category })
}

pub fn product(request: &proto::GetProductPageRequest) -> Result<String, Invalid> {
    let mut fields = Fields::default();
    let sku = &request.sku;
    let is_good = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'-';
    if !(1..=LONGEST_SKU).contains(&sku.len()) || !sku.bytes().all(is_good) {
        fields.refuse("sku", "SKU_MALFORMED", "must be 1 to 40 of A-Z, 0-9 and '-'");
    }
    fields.finish(sku.clone())
}

pub fn order(request: &proto::GetOrderPageRequest) -> Result<Uuid, Invalid> {
    let mut fields = Fields::default();
    let order = fields.uuid("order_id", &request.order_id);
    fields.finish(order)
}

pub fn purge(request: &proto::PurgeCacheRequest) -> Result<String, Invalid> {
    let mut fields = Fields::default();
    let prefix = &request.prefix;
    let is_good = |c: u8| c.is_ascii_alphanumeric() || c == b':' || c == b'-';
    if prefix.len() > LONGEST_PREFIX || !prefix.bytes().all(is_good) {
        let right = "must be at most 100 of letters, digits, ':' and '-'";
        fields.refuse("prefix", "PREFIX_MALFORMED", right);
    }
    fields.finish(prefix.clone())
}
