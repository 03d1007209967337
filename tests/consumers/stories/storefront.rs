//! The storefront puts pages together.

use futures::FutureExt as _;
use serde_json::{Value, json};
use shop::{
    catalog::v1::{CreateCategoryRequest, CreateProductRequest, Product},
    common::v1::Money,
    inventory::v1::SetLowStockThresholdRequest,
    storefront::v1::{PurgeCacheRequest, storefront_service_client::StorefrontServiceClient},
};

use super::{Part, Story, Told, ask, product};
use crate::{
    consumers::names::Names,
    shop::{GOOD_CARD, Shop, uuid},
};

pub const HOME: &str = "shop.storefront.v1.StorefrontService/GetHomePage";
const PRODUCT: &str = "shop.storefront.v1.StorefrontService/GetProductPage";
const ORDER: &str = "shop.storefront.v1.StorefrontService/GetOrderPage";

macro_rules! story {
    ($name:literal, $given:expr, $tell:expr) => {
        Story {
            consumer: "storefront",
            name: $name,
            part: Part::Calls,
            only_reads: true,
            given: |shop| async move { $given(shop).await }.boxed_local(),
            tell: |shop, given| {
                async move {
                    forget(shop).await;
                    told($tell(shop, given).await)
                }
                .boxed_local()
            },
        }
    };
}

pub fn stories() -> Vec<Story> {
    vec![
        story!(
            "a category is looked at by somebody with a cart",
            browsing,
            async |shop, given: &Names| {
                let (customer, category) = (given.get("customer"), given.get("category"));
                ask(shop, HOME, json!({ "customer_id": customer, "category_id": category })).await
            }
        ),
        story!("a product is there", plenty, page),
        story!("a product has come down to its threshold", at_threshold, page),
        story!("a product was never there", never_there, page),
        story!("nobody sells it", nothing, page),
        story!("an order is looked at", ordered, async |shop, given: &Names| {
            ask(shop, ORDER, json!({ "order_id": given.get("order") })).await
        }),
        story!("nobody has placed it", no_order, async |shop, given: &Names| {
            ask(shop, ORDER, json!({ "order_id": given.get("order") })).await
        }),
    ]
}

/// What is kept of the catalog.
async fn forget(shop: &Shop) {
    let mut pages = StorefrontServiceClient::new(shop.channel("storefront"));
    pages.purge_cache(PurgeCacheRequest::default()).await.unwrap();
}

pub async fn page(shop: &Shop, given: &Names) -> Value {
    ask(shop, PRODUCT, json!({ "sku": given.get("sku") })).await
}

/// A category of its own.
pub async fn category(shop: &Shop) -> String {
    let request_id = uuid();
    let slug = format!("c-{request_id}");
    let request =
        CreateCategoryRequest { request_id: request_id.clone(), slug, name: "Told".to_owned() };
    shop.catalog().create_category(request).await.unwrap();
    request_id
}

/// A product in a category.
pub async fn in_category(shop: &Shop, category_id: &str) -> Product {
    let price = Money { currency_code: "EUR".to_owned(), units: 12, nanos: 500_000_000 };
    let request = CreateProductRequest {
        request_id: uuid(),
        sku: format!("T-{}", uuid().to_uppercase()),
        name: "Kettle".to_owned(),
        description: "Boils".to_owned(),
        price: Some(price),
        category_id: category_id.to_owned(),
    };
    shop.catalog().create_product(request).await.unwrap().into_inner().product.unwrap()
}

async fn browsing(shop: &Shop) -> Names {
    let category = category(shop).await;
    let sku = in_category(shop, &category).await.sku;
    shop.receive(&sku, 50).await;
    let customer = shop.cart(&sku, 3).await.customer_id;
    Names::of([("category", category), ("sku", sku), ("customer", customer)])
}

async fn plenty(shop: &Shop) -> Names {
    Names::of([("sku", product(shop, 50).await.sku)])
}

async fn at_threshold(shop: &Shop) -> Names {
    let sku = product(shop, 50).await.sku;
    let request = SetLowStockThresholdRequest {
        request_id: uuid(),
        sku: sku.clone(),
        low_stock_threshold: 50,
        etag: String::new(),
    };
    shop.inventory().set_low_stock_threshold(request).await.unwrap();
    Names::of([("sku", sku)])
}

async fn never_there(shop: &Shop) -> Names {
    Names::of([("sku", product(shop, 0).await.sku)])
}

async fn nothing(_: &Shop) -> Names {
    Names::of([("sku", format!("T-{}", uuid().to_uppercase()))])
}

async fn ordered(shop: &Shop) -> Names {
    let sku = product(shop, 50).await.sku;
    let request = shop.order_of(&sku, 2, GOOD_CARD).await;
    let order = shop.place(request).await.unwrap();
    shop.settled(&order.order_id).await;
    shop.rests(&order.order_id).await;
    let customer = order.customer_id.clone();
    Names::of([("sku", sku), ("order", order.order_id), ("customer", customer)])
}

async fn no_order(_: &Shop) -> Names {
    Names::of([("order", uuid())])
}

/// The page, but not how long ago its parts were asked for.
fn told(mut outcome: Value) -> Told {
    for part in outcome["parts"].as_array_mut().into_iter().flatten() {
        part.as_object_mut().unwrap().remove("age");
    }
    Told { outcome, names: Names::default() }
}
