//! Good requests to the catalog.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Change, euros, text};
use crate::{
    generated::call::ask,
    shop::{Shop, uuid},
};

pub async fn sample(shop: &Shop, method: &str) -> Value {
    let request_id = uuid();
    match method {
        "BatchGetProducts" => json!({"skus": ["MUG-BLUE-350", "NEVER-SEEN"]}),
        "GetProduct" => json!({"sku": "MUG-BLUE-350"}),
        "ListProducts" => json!({
            "pageSize": 5,
            "categoryId": category(shop).await.0,
            "state": "PRODUCT_STATE_ACTIVE",
        }),
        "SearchProducts" => {
            json!({"query": "blue mug", "categoryId": category(shop).await.0, "pageSize": 5})
        }
        "CreateProduct" => new_product(shop, &request_id).await,
        "UpdateProduct" => {
            let (sku, etag) = product(shop).await;
            json!({
                "requestId": request_id,
                "sku": sku,
                "etag": etag,
                "updateMask": "name,description,price,categoryId",
                "name": "A better name",
                "description": "What else there is to say.",
                "price": euros(8),
                "categoryId": category(shop).await.0,
            })
        }
        "ArchiveProduct" => {
            let (sku, etag) = product(shop).await;
            json!({"requestId": request_id, "sku": sku, "etag": etag})
        }
        "CreateCategory" => new_category(&request_id),
        "GetCategory" => json!({"categoryId": category(shop).await.0}),
        "ListCategories" => json!({"pageSize": 5}),
        "UpdateCategory" => {
            let (id, etag) = category(shop).await;
            json!({"requestId": request_id, "categoryId": id, "etag": etag, "name": "Other things"})
        }
        _ => unreachable!("{method} was checked"),
    }
}

pub fn change(method: &str) -> Option<Change> {
    Some(match method {
        "CreateProduct" => Change::new("create_product", "/name", "Another name"),
        "UpdateProduct" => Change::new("update_product", "/name", "Another name"),
        "ArchiveProduct" => Change::new("archive_product", "/sku", "MUG-BLUE-350"),
        "CreateCategory" => Change::new("create_category", "/name", "Another name"),
        "UpdateCategory" => Change::new("update_category", "/name", "Another name"),
        _ => return None,
    })
}

fn new_category(request_id: &str) -> Value {
    // The slug is a name of its own.
    let slug = format!("things-{}", Uuid::parse_str(request_id).unwrap().simple());
    json!({"requestId": request_id, "slug": slug, "name": "Things"})
}

/// A new category's id and etag.
async fn category(shop: &Shop) -> (String, String) {
    let path = "shop.catalog.v1.CatalogService/CreateCategory";
    let made = ask(shop, path, new_category(&uuid())).await;
    (text(&made["category"]["categoryId"]), text(&made["category"]["etag"]))
}

async fn new_product(shop: &Shop, request_id: &str) -> Value {
    // Behind those of the shop: the first product of a list is one that stays.
    let id = Uuid::parse_str(request_id).unwrap().simple();
    let sku = format!("ZZ{id}").to_uppercase();
    json!({
        "requestId": request_id,
        "sku": sku,
        "name": "A thing",
        // With every word that a change of it will bring.
        "description": "What else there is to say: a better or another name.",
        "price": euros(7),
        "categoryId": category(shop).await.0,
    })
}

/// A new product's SKU and etag.
async fn product(shop: &Shop) -> (String, String) {
    let request = new_product(shop, &uuid()).await;
    let made = ask(shop, "shop.catalog.v1.CatalogService/CreateProduct", request).await;
    (text(&made["product"]["sku"]), text(&made["product"]["etag"]))
}
