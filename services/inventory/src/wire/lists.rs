//! Reads requests for several things, and shows pages of them.

use std::collections::HashSet;

use mesh_rpc::{Fields, Invalid, Page, page_token};
use shop::inventory::v1 as proto;

use super::{read, show};
use crate::{
    app::Found,
    domain::{MovementsOf, Recorded, Sku, Stock, Subject},
};

const LARGEST_BATCH: usize = 1000;

/// What the page tokens are bound to, beside filter and order.
const LIST_STOCK: &str = "shop.inventory.v1.InventoryService/ListStock";
const LIST_LOW_STOCK: &str = "shop.inventory.v1.InventoryService/ListStock low_only";
const LIST_MOVEMENTS: &str = "shop.inventory.v1.InventoryService/ListMovements";

/// The part of the stock that is asked for.
pub(crate) struct StockPage {
    pub after: Option<Sku>,
    pub size: usize,
    pub low_only: bool,
}

/// The part of the movements that is asked for.
pub(crate) struct MovementsPage {
    pub of: MovementsOf,
    /// Number of the last movement of the page before.
    pub after: Option<i64>,
    pub size: usize,
}

pub(crate) fn batch_get_stock(request: &proto::BatchGetStockRequest) -> Result<Vec<Sku>, Invalid> {
    let mut fields = Fields::default();
    let readable = fields.count("skus", request.skus.len(), 1..=LARGEST_BATCH);
    let mut seen = HashSet::with_capacity(readable);
    let mut skus = Vec::with_capacity(readable);
    // Ten thousand of them are one violation.
    let asked = if readable < request.skus.len() { &[] } else { &request.skus[..] };
    for (n, text) in asked.iter().enumerate() {
        let field = format!("skus[{n}]");
        let sku = read::sku(&mut fields, &field, text);
        if sku.is_some() && !seen.insert(text) {
            fields.refuse(&field, "SKU_REPEATED", "must not be asked for twice");
        }
        skus.extend(sku);
    }
    fields.finish(skus)
}

pub(crate) fn found_stock(found: &Found) -> proto::BatchGetStockResponse {
    proto::BatchGetStockResponse {
        stock: found.stock.iter().map(show::stock).collect(),
        missing_skus: found.missing.iter().map(ToString::to_string).collect(),
    }
}

pub(crate) fn list_stock(request: &proto::ListStockRequest) -> Result<StockPage, Invalid> {
    let mut fields = Fields::default();
    let query = stock_query(request.low_only);
    let Page { after, size } = fields.page(query, request.page_size, &request.page_token);
    let after = last(&mut fields, after, Sku::parse);
    fields.finish(StockPage { after, size, low_only: request.low_only })
}

/// The answer to a list; `more` says that the list goes on after these.
pub(crate) fn stock_page(
    asked: &StockPage,
    stock: &[Stock],
    more: bool,
) -> proto::ListStockResponse {
    let last = stock.last().filter(|_| more);
    let token = |last: &Stock| page_token(stock_query(asked.low_only), last.sku.as_str());
    proto::ListStockResponse {
        stock: stock.iter().map(show::stock).collect(),
        next_page_token: last.map(token).unwrap_or_default(),
    }
}

fn stock_query(low_only: bool) -> &'static str {
    if low_only { LIST_LOW_STOCK } else { LIST_STOCK }
}

pub(crate) fn list_movements(
    request: &proto::ListMovementsRequest,
) -> Result<MovementsPage, Invalid> {
    let mut fields = Fields::default();
    let of = subject(&mut fields, request)
        .map(|what| MovementsOf { what, oldest_first: request.oldest_first });
    let query = of.as_ref().map(movements_query).unwrap_or_default();
    let Page { after, size } = fields.page(&query, request.page_size, &request.page_token);
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
    let after = last(&mut fields, after, number);
    read::finish(fields, of.map(|of| MovementsPage { of, after, size }))
}

fn subject(fields: &mut Fields, request: &proto::ListMovementsRequest) -> Option<Subject> {
    let given = |text: &str| !text.is_empty();
    let sku = given(&request.sku).then(|| read::sku(fields, "sku", &request.sku));
    let order_id = given(&request.order_id).then(|| fields.uuid("order_id", &request.order_id));
    match (sku, order_id) {
        (Some(sku), None) => sku.map(Subject::Sku),
        (Some(sku), Some(order_id)) => sku.map(|sku| Subject::SkuOfOrder(sku, order_id)),
        (None, Some(order_id)) => Some(Subject::Order(order_id)),
        (None, None) => {
            fields.refuse("sku", "FIELD_MISSING", "must be given unless `order_id` is");
            None
        }
    }
}

/// The answer to a list; `more` says that the list goes on after these.
pub(crate) fn movements_page(
    asked: &MovementsPage,
    movements: &[Recorded],
    more: bool,
) -> proto::ListMovementsResponse {
    let last = movements.last().filter(|_| more);
    let token = |last: &Recorded| page_token(&movements_query(&asked.of), &last.id.to_string());
    proto::ListMovementsResponse {
        movements: movements.iter().map(show::movement).collect(),
        next_page_token: last.map(token).unwrap_or_default(),
    }
}

fn movements_query(of: &MovementsOf) -> String {
    let whose = match &of.what {
        Subject::Sku(sku) => format!("sku={sku}"),
        Subject::Order(order_id) => format!("order={order_id}"),
        Subject::SkuOfOrder(sku, order_id) => format!("sku={sku} order={order_id}"),
    };
    let order = if of.oldest_first { "oldest" } else { "newest" };
    format!("{LIST_MOVEMENTS} {whose} {order} first")
}

/// Reads what the last element of the page before was called.
fn last<T>(
    fields: &mut Fields,
    name: Option<String>,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let read = name.as_deref().map(parse);
    if matches!(read, Some(None)) {
        fields.refuse_page_token();
    }
    read.flatten()
}
