//! Good requests to orders and carts.

use serde_json::{Value, json};
use shop::orders::v1::OrderState;

use super::Change;
use crate::shop::{GOOD_CARD, Shop, address, uuid};

pub async fn sample(shop: &Shop, method: &str) -> Value {
    let request_id = uuid();
    match method {
        "GetCart" => {
            let sku = shop.stocked(5).await;
            json!({"customerId": shop.cart(&sku, 1).await.customer_id})
        }
        "AddCartLine" | "ChangeCartLine" | "RemoveCartLine" | "ClearCart" | "MergeCarts" => {
            cart_change(shop, method).await
        }
        "SetCartLines" => {
            let sku = shop.stocked(5).await;
            let cart = shop.cart(&sku, 1).await;
            json!({
                "requestId": request_id,
                "customerId": cart.customer_id,
                "lines": [{"sku": sku, "quantity": "1"}],
                "etag": cart.etag,
            })
        }
        "PlaceOrder" => order(shop, &request_id).await,
        "CancelOrder" => json!({"requestId": request_id, "orderId": confirmed(shop).await}),
        "GetOrder" => json!({"orderId": confirmed(shop).await, "asOfVersion": 1}),
        "WatchOrder" => json!({"orderId": confirmed(shop).await, "afterVersion": 0}),
        "ListOrders" => json!({
            "customerId": shop.order(&confirmed(shop).await).await.customer_id,
            "state": "ORDER_STATE_CONFIRMED",
            "pageSize": 5,
        }),
        "ListOrderEvents" => json!({"orderId": confirmed(shop).await, "pageSize": 5}),
        _ => unreachable!("{method} was checked"),
    }
}

pub async fn order(shop: &Shop, request_id: &str) -> Value {
    let sku = shop.stocked(5).await;
    let request = shop.order_of(&sku, 1, GOOD_CARD).await;
    let address = address("DE");
    json!({
        "requestId": request_id,
        "customerId": request.customer_id,
        "cartEtag": request.cart_etag,
        "address": {
            "recipient": address.recipient,
            "lines": address.lines,
            "city": address.city,
            "postalCode": address.postal_code,
            "countryCode": address.country_code,
        },
        "cardToken": request.card_token,
    })
}

pub async fn confirmed(shop: &Shop) -> String {
    let order = shop.simple_order().await;
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    shop.rests(&order.order_id).await;
    order.order_id
}

async fn cart_change(shop: &Shop, method: &str) -> Value {
    let sku = shop.stocked(5).await;
    let cart = shop.cart(&sku, 1).await;
    let mut request =
        json!({"requestId": uuid(), "customerId": cart.customer_id, "etag": cart.etag});
    if method == "MergeCarts" {
        let source = shop.cart(&sku, 2).await;
        request["sourceCustomerId"] = source.customer_id.into();
        request["sourceEtag"] = source.etag.into();
    } else if method != "ClearCart" {
        request["sku"] = sku.into();
    }
    if ["AddCartLine", "ChangeCartLine"].contains(&method) {
        request["quantity"] = "2".into();
    }
    request
}

pub fn change(method: &str) -> Option<Change> {
    Some(match method {
        "SetCartLines" => Change::new("set_cart_lines", "/lines/0/quantity", "2"),
        "AddCartLine" => Change::new("add_cart_line", "/quantity", "3"),
        "ChangeCartLine" => Change::new("change_cart_line", "/quantity", "3"),
        "RemoveCartLine" => Change::new("remove_cart_line", "/sku", "ANOTHER"),
        "ClearCart" => Change::new("clear_cart", "/etag", ""),
        "MergeCarts" => Change::new("merge_carts", "/sourceEtag", ""),
        "CancelOrder" => Change::new("cancel", "/orderId", uuid()),
        "PlaceOrder" => Change::new("place", "/address/city", "Paris"),
        _ => return None,
    })
}
