//! Protobuf to domain and back. Parsing happens here and nowhere else.

mod categories;
mod products;
pub mod v2;

use mesh_log::requests::Key;
use mesh_rpc::{Fields, Page};
use prost_types::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

pub use categories::{
    categories_page, category, create_category, get_category, list_categories, update_category,
};
pub use products::{
    archive_product, batch_get_products, create_product, found_page, get_product, list_products,
    product, products_page, search_products, update_product,
};

/// The part of a list that is asked for, and the list that it is a part of.
pub struct PageOf<Q> {
    /// What page tokens of the list are bound to.
    list: String,
    pub query: Q,
    pub size: usize,
}

/// Reads a page whose tokens name its last element in a way that `last` understands.
fn page<A>(
    fields: &mut Fields,
    list: &str,
    (size, token): (i32, &str),
    last: impl Fn(&str) -> Option<A>,
) -> (Option<A>, usize) {
    let Page { after, size } = fields.page(list, size, token);
    let last = after.as_deref().map(last);
    if matches!(last, Some(None)) {
        fields.refuse_page_token();
    }
    (last.flatten(), size)
}

fn key(fields: &mut Fields, method: &str, request_id: &str) -> Key {
    let request_id = fields.uuid("request_id", request_id);
    Key::new(&name(method), "", request_id)
}

fn name(method: &str) -> String {
    format!("shop.catalog.v1.CatalogService/{method}")
}

/// An id that may be missing.
fn optional_uuid(fields: &mut Fields, field: &str, value: &str) -> Option<Uuid> {
    (!value.is_empty()).then(|| fields.uuid(field, value))
}

/// An etag is a version in decimal; callers need not know.
fn seen(fields: &mut Fields, etag: &str) -> Option<i32> {
    if etag.is_empty() {
        return None;
    }
    let version = etag.parse().ok().filter(|version: &i32| *version > 0);
    if version.is_none_or(|version| version.to_string() != etag) {
        fields.refuse("etag", "ETAG_MALFORMED", "must be an etag that this service gave, or empty");
    }
    version
}

fn timestamp(time: OffsetDateTime) -> Timestamp {
    let nanos = i32::try_from(time.nanosecond()).expect("less than a billion");
    Timestamp { seconds: time.unix_timestamp(), nanos }
}
