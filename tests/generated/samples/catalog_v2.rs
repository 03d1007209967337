//! Good requests to the catalog's second version.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Change, text};
use crate::{
    generated::call::ask,
    shop::{Shop, uuid},
};

pub async fn sample(shop: &Shop, method: &str) -> Value {
    let request_id = uuid();
    match method {
        "CreateCategory" => new_category(&request_id),
        "GetCategory" => json!({"slug": category(shop).await.0}),
        "ListCategories" => json!({"pageSize": 5}),
        "UpdateCategory" => {
            let (slug, etag) = category(shop).await;
            json!({"requestId": request_id, "slug": slug, "etag": etag, "name": "Other things"})
        }
        _ => unreachable!("{method} was checked"),
    }
}

pub fn change(method: &str) -> Option<Change> {
    Some(match method {
        "CreateCategory" => Change::new("create_category", "/name", "Another name"),
        "UpdateCategory" => Change::new("update_category", "/name", "Another name"),
        _ => return None,
    })
}

fn new_category(request_id: &str) -> Value {
    // The slug is a name of its own.
    let slug = format!("shelf-{}", Uuid::parse_str(request_id).unwrap().simple());
    json!({"requestId": request_id, "slug": slug, "name": "Things"})
}

/// A new category's slug and etag.
async fn category(shop: &Shop) -> (String, String) {
    let path = "shop.catalog.v2.CategoriesService/CreateCategory";
    let made = ask(shop, path, new_category(&uuid())).await;
    (text(&made["category"]["slug"]), text(&made["category"]["etag"]))
}
