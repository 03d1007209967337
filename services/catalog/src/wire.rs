//! Protobuf to domain and back. Parsing happens here and nowhere else.

use std::collections::HashSet;

use mesh_rpc::{Fields, Invalid};
use prost_types::Timestamp;
use shop::{catalog::v1 as proto, money};
use time::OffsetDateTime;

use crate::{
    domain::{Product, Sku},
    page,
};

const LARGEST_BATCH: usize = 1000;
const USUAL_PAGE: usize = 50;
const LARGEST_PAGE: usize = 1000;

/// What a page token of ListProducts is bound to. A filter would be part of it; the size of the
/// page is not, because a caller may change it on the way.
const LIST_PRODUCTS: &str = "shop.catalog.v1.CatalogService/ListProducts";

/// The part of a list that is asked for.
pub struct Page {
    pub after: Option<Sku>,
    pub size: usize,
}

pub fn get_product(request: &proto::GetProductRequest) -> Result<Sku, Invalid> {
    let mut fields = Fields::default();
    let sku = Sku::parse(&request.sku);
    if sku.is_none() {
        refuse_sku(&mut fields, "sku");
    }
    Ok(fields.finish(sku)?.expect("a SKU is missing only with a violation"))
}

pub fn batch_get_products(request: &proto::BatchGetProductsRequest) -> Result<Vec<Sku>, Invalid> {
    let mut fields = Fields::default();
    let readable = fields.count("skus", request.skus.len(), 1..=LARGEST_BATCH);
    let mut seen = HashSet::with_capacity(readable);
    let mut skus = Vec::with_capacity(readable);
    for (n, text) in request.skus.iter().take(readable).enumerate() {
        match Sku::parse(text) {
            None => refuse_sku(&mut fields, &format!("skus[{n}]")),
            Some(_) if !seen.insert(text) => {
                fields.refuse(&format!("skus[{n}]"), "SKU_REPEATED", "is asked for before");
            }
            Some(sku) => skus.push(sku),
        }
    }
    fields.finish(skus)
}

pub fn list_products(request: &proto::ListProductsRequest) -> Result<Page, Invalid> {
    let mut fields = Fields::default();
    let size = match usize::try_from(request.page_size) {
        Ok(0) => USUAL_PAGE,
        Ok(size) => size.min(LARGEST_PAGE),
        Err(_) => {
            fields.refuse("page_size", "PAGE_SIZE_NEGATIVE", "is not negative");
            0
        }
    };
    let last = page::parse(LIST_PRODUCTS, &request.page_token);
    let after = last.and_then(|last| Sku::parse(&last));
    if after.is_none() && !request.page_token.is_empty() {
        fields.refuse("page_token", "PAGE_TOKEN_MALFORMED", "is no page token of this list");
    }
    fields.finish(Page { after, size })
}

/// The answer to a list; `more` says that the list goes on after these.
pub fn products_page(products: Vec<Product>, more: bool) -> proto::ListProductsResponse {
    let last = products.last().filter(|_| more);
    let next_page_token =
        last.map(|last| page::token(LIST_PRODUCTS, last.sku.as_str())).unwrap_or_default();
    let products = products.into_iter().map(product).collect();
    proto::ListProductsResponse { products, next_page_token }
}

pub fn product(product: Product) -> proto::Product {
    proto::Product {
        product_id: product.id.to_string(),
        sku: product.sku.into_string(),
        name: product.name,
        description: product.description,
        price: Some(money::to_wire(product.price)),
        create_time: Some(timestamp(product.created)),
    }
}

fn timestamp(time: OffsetDateTime) -> Timestamp {
    let nanos = i32::try_from(time.nanosecond()).expect("less than a billion");
    Timestamp { seconds: time.unix_timestamp(), nanos }
}

fn refuse_sku(fields: &mut Fields, field: &str) {
    fields.refuse(field, "SKU_MALFORMED", "is 1 to 40 of A-Z, 0-9 and '-'");
}
