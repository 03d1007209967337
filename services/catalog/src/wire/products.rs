//! Requests about products.

use std::collections::{BTreeSet, HashSet};

use mesh_log::requests::digest;
use mesh_rpc::{Fields, Invalid, page_token};
use shop::{
    catalog::v1 as proto,
    common::v1 as common,
    money::{self, Money},
};

use super::{PageOf, key, name, optional_uuid, page, seen, timestamp};
use crate::{
    app::{ArchiveProduct, CreateProduct, UpdateProduct},
    domain::{Changes, Product, Sku, State, words::different_words},
    store::{List, Search},
};

const LARGEST_BATCH: usize = 1000;
const LONGEST_NAME: usize = 200;
const LONGEST_DESCRIPTION: usize = 4000;
const LONGEST_QUERY: usize = 200;
const MOST_WORDS: usize = 10;
/// Paths of an update mask; more than these are not read.
const MOST_PATHS: usize = 16;
/// What an update may change.
const MUTABLE: [&str; 4] = ["name", "description", "price", "category_id"];

pub fn get_product(request: &proto::GetProductRequest) -> Result<Sku, Invalid> {
    let mut fields = Fields::default();
    let sku = sku(&mut fields, &request.sku);
    finish(fields, sku)
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
                fields.refuse(&format!("skus[{n}]"), "SKU_REPEATED", "must not be asked for twice");
            }
            Some(sku) => skus.push(sku),
        }
    }
    fields.finish(skus)
}

pub fn list_products(request: &proto::ListProductsRequest) -> Result<PageOf<List>, Invalid> {
    let mut fields = Fields::default();
    let category = optional_uuid(&mut fields, "category_id", &request.category_id);
    let state = state(&mut fields, request.state);
    let (method, category_id) = (name("ListProducts"), &request.category_id);
    let list = format!("{method} category={category_id} state={}", request.state);
    let part = (request.page_size, request.page_token.as_str());
    let (after, size) = page(&mut fields, &list, part, Sku::parse);
    fields.finish(PageOf { list, query: List { category, state, after }, size })
}

pub fn search_products(request: &proto::SearchProductsRequest) -> Result<PageOf<Search>, Invalid> {
    let mut fields = Fields::default();
    let text = fields.text("query", &request.query, 1..=LONGEST_QUERY);
    let words = different_words(&text);
    if !(1..=MOST_WORDS).contains(&words.len()) {
        fields.refuse("query", "WORD_COUNT_OUT_OF_RANGE", "must have 1 to 10 different words");
    }
    let category = optional_uuid(&mut fields, "category_id", &request.category_id);
    let (method, category_id) = (name("SearchProducts"), &request.category_id);
    let list = format!("{method} category={category_id} words={}", words.join(" "));
    let part = (request.page_size, request.page_token.as_str());
    let (after, size) = page(&mut fields, &list, part, rank_and_sku);
    fields.finish(PageOf { list, query: Search { words, category, after }, size })
}

pub fn create_product(request: &proto::CreateProductRequest) -> Result<CreateProduct, Invalid> {
    let mut fields = Fields::default();
    let id = fields.uuid("request_id", &request.request_id);
    let sku = sku(&mut fields, &request.sku);
    let name = fields.text("name", &request.name, 1..=LONGEST_NAME);
    let description = fields.text("description", &request.description, 0..=LONGEST_DESCRIPTION);
    let price = price(&mut fields, request.price.as_ref());
    let category = optional_uuid(&mut fields, "category_id", &request.category_id);
    let digest = digest(request);
    let (sku, price) = finish(fields, sku.zip(price))?;
    Ok(CreateProduct { id, sku, name, description, price, category, digest })
}

pub fn update_product(request: &proto::UpdateProductRequest) -> Result<UpdateProduct, Invalid> {
    let mut fields = Fields::default();
    let key = key(&mut fields, "UpdateProduct", &request.request_id);
    let sku = sku(&mut fields, &request.sku);
    let seen = seen(&mut fields, &request.etag);
    let changes = changes(&mut fields, request);
    let sku = finish(fields, sku)?;
    Ok(UpdateProduct { key, digest: digest(request), sku, seen, changes })
}

pub fn archive_product(request: &proto::ArchiveProductRequest) -> Result<ArchiveProduct, Invalid> {
    let mut fields = Fields::default();
    let key = key(&mut fields, "ArchiveProduct", &request.request_id);
    let sku = sku(&mut fields, &request.sku);
    let seen = seen(&mut fields, &request.etag);
    let sku = finish(fields, sku)?;
    Ok(ArchiveProduct { key, digest: digest(request), sku, seen })
}

/// The answer to a list; `more` says that the list goes on after these.
pub fn products_page(
    asked: &PageOf<List>,
    products: Vec<Product>,
    more: bool,
) -> proto::ListProductsResponse {
    let last = products.last().filter(|_| more);
    let token = last.map(|last| page_token(&asked.list, last.sku.as_str()));
    proto::ListProductsResponse {
        products: products.into_iter().map(product).collect(),
        next_page_token: token.unwrap_or_default(),
    }
}

/// The answer to a search; `more` says that there are more after these.
pub fn found_page(
    asked: &PageOf<Search>,
    products: Vec<(i64, Product)>,
    more: bool,
) -> proto::SearchProductsResponse {
    let last = products.last().filter(|_| more);
    let name = |(rank, last): &(i64, Product)| format!("{rank}/{}", last.sku.as_str());
    let token = last.map(|last| page_token(&asked.list, &name(last)));
    proto::SearchProductsResponse {
        products: products.into_iter().map(|(_, found)| product(found)).collect(),
        next_page_token: token.unwrap_or_default(),
    }
}

pub fn product(product: Product) -> proto::Product {
    proto::Product {
        product_id: product.id.to_string(),
        sku: product.sku.into_string(),
        name: product.name,
        description: product.description,
        price: Some(money::to_wire(product.price)),
        create_time: Some(timestamp(product.created)),
        category_id: product.category.map(|id| id.to_string()).unwrap_or_default(),
        state: match product.state {
            State::Active => proto::ProductState::Active,
            State::Archived => proto::ProductState::Archived,
        }
        .into(),
        etag: product.version.to_string(),
        update_time: Some(timestamp(product.updated)),
    }
}

/// What the mask names; without a mask, what is given.
fn changes(fields: &mut Fields, request: &proto::UpdateProductRequest) -> Changes {
    let mask = request.update_mask.as_ref().map(|mask| mask.paths.as_slice()).unwrap_or_default();
    let readable = fields.count("update_mask.paths", mask.len(), 0..=MOST_PATHS);
    for (n, path) in mask.iter().take(readable).enumerate() {
        if !MUTABLE.contains(&path.as_str()) {
            let right = format!("must be one of {}", MUTABLE.join(", "));
            fields.refuse(&format!("update_mask.paths[{n}]"), "PATH_UNKNOWN", right);
        }
    }
    let named: BTreeSet<&str> = mask.iter().map(String::as_str).collect();
    let wanted = |path, given| if named.is_empty() { given } else { named.contains(path) };
    let name = wanted("name", !request.name.is_empty());
    let description = wanted("description", !request.description.is_empty());
    let category = wanted("category_id", !request.category_id.is_empty());
    let has_price = wanted("price", request.price.is_some());
    Changes {
        name: name.then(|| fields.text("name", &request.name, 1..=LONGEST_NAME)),
        description: description
            .then(|| fields.text("description", &request.description, 0..=LONGEST_DESCRIPTION)),
        price: has_price.then(|| price(fields, request.price.as_ref())).flatten(),
        category: category.then(|| optional_uuid(fields, "category_id", &request.category_id)),
    }
}

fn price(fields: &mut Fields, price: Option<&common::Money>) -> Option<Money> {
    let Some(price) = price else {
        fields.refuse("price", "FIELD_MISSING", "must be given");
        return None;
    };
    let read = money::positive_from_wire(price);
    let refuse = |wrong: money::Malformed| {
        let (reason, right) = wrong.blame();
        fields.refuse(&format!("price.{}", wrong.field), reason, right);
    };
    read.map_err(refuse).ok()
}

fn state(fields: &mut Fields, state: i32) -> Option<State> {
    match proto::ProductState::try_from(state) {
        Ok(proto::ProductState::Unspecified) => None,
        Ok(proto::ProductState::Active) => Some(State::Active),
        Ok(proto::ProductState::Archived) => Some(State::Archived),
        Err(_) => {
            fields.refuse("state", "ENUM_UNKNOWN", "must be ACTIVE, ARCHIVED or unspecified");
            None
        }
    }
}

fn rank_and_sku(text: &str) -> Option<(i64, Sku)> {
    let (rank, sku) = text.split_once('/')?;
    Some((rank.parse().ok()?, Sku::parse(sku)?))
}

fn sku(fields: &mut Fields, text: &str) -> Option<Sku> {
    let sku = Sku::parse(text);
    if sku.is_none() {
        refuse_sku(fields, "sku");
    }
    sku
}

fn refuse_sku(fields: &mut Fields, field: &str) {
    fields.refuse(field, "SKU_MALFORMED", "must be 1 to 40 of A-Z, 0-9 and '-'");
}

fn finish<T>(fields: Fields, value: Option<T>) -> Result<T, Invalid> {
    Ok(fields.finish(value)?.expect("a value is missing only with a violation"))
}
