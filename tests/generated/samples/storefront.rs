//! Good requests to the storefront.

use serde_json::{Value, json};

use super::{Change, orders::confirmed};
use crate::shop::{Shop, uuid};

pub async fn sample(shop: &Shop, method: &str) -> Value {
    match method {
        "GetHomePage" => json!({"customerId": uuid()}),
        "GetProductPage" => json!({"sku": "MUG-BLUE-350"}),
        "GetOrderPage" => json!({"orderId": confirmed(shop).await}),
        "PurgeCache" => json!({"prefix": "product:MUG"}),
        _ => unreachable!("{method} was checked"),
    }
}

/// Nothing here is made under a request's id.
pub fn change(_method: &str) -> Option<Change> {
    None
}
