//! What services do when they hear of something.

use futures::FutureExt as _;
use mesh_testkit::eventually;
use serde_json::{Value, json};
use shop::{
    catalog::v1::{ArchiveProductRequest, GetProductRequest, UpdateProductRequest},
    orders::v1::OrderState,
    shipping::v1::ShipmentState,
};
use sqlx::PgPool;

use super::{
    Part, Story, Told, ask,
    orders::of_order,
    storefront::{HOME, category, in_category, page},
};
use crate::{
    consumers::names::Names,
    evidence::step_key,
    orders_and_money::report,
    shop::{GOOD_CARD, Shop, uuid},
};

/// A product that there always was.
const MUG: &str = "MUG-BLUE-350";

macro_rules! story {
    ($consumer:literal, $name:literal, $given:expr, $tell:expr) => {
        Story {
            consumer: $consumer,
            name: $name,
            part: Part::Events,
            only_reads: false,
            given: |shop| async move { $given(shop).await }.boxed_local(),
            tell: |shop, given| async move { $tell(shop, given).await }.boxed_local(),
        }
    };
}

pub fn stories() -> Vec<Story> {
    use ShipmentState::{Delivered, Dispatched, Lost};
    vec![
        story!("orders", "a parcel leaves", confirmed, async |shop, given| {
            order_after(shop, given, &[Dispatched], OrderState::Shipped).await
        }),
        story!("orders", "a parcel arrives", confirmed, async |shop, given| {
            order_after(shop, given, &[Dispatched, Delivered], OrderState::Delivered).await
        }),
        story!("orders", "a parcel that left is lost", confirmed, async |shop, given| {
            order_after(shop, given, &[Dispatched, Lost], OrderState::Lost).await
        }),
        story!("inventory", "a parcel leaves", confirmed, async |shop, given| {
            pieces_after(shop, given, &[Dispatched], "shipped").await
        }),
        story!("inventory", "a parcel that left is lost", confirmed, async |shop, given| {
            pieces_after(shop, given, &[Dispatched, Lost], "lost").await
        }),
        story!("storefront", "a product becomes dearer", mug, a_product_becomes_dearer),
        story!("storefront", "a product is not sold any more", on_sale, a_product_is_archived),
        story!("storefront", "a product is new", empty_category, a_product_is_new),
    ]
}

async fn confirmed(shop: &Shop) -> Names {
    let sku = super::product(shop, 9).await.sku;
    let request = shop.order_of(&sku, 3, GOOD_CARD).await;
    let order = shop.place(request).await.unwrap().order_id;
    shop.comes_to(&order, OrderState::Confirmed).await;
    shop.rests(&order).await;
    of_order(&order)
}

/// What the order is in the end; or that the event could not be applied.
async fn order_after(
    shop: &Shop,
    given: &Names,
    reports: &[ShipmentState],
    end: OrderState,
) -> Told {
    let order = given.get("order");
    for state in reports {
        report(shop, order, *state).await.unwrap();
    }
    let dead = DeadLetters::of(shop, "orders", order).await;
    let outcome = eventually("the order to move, or a dead letter", async || {
        if dead.are_there().await {
            return Some(json!("a dead letter"));
        }
        (shop.order(order).await.state() == end).then(|| json!(end.as_str_name()))
    });
    let outcome = outcome.await;
    shop.rests(order).await;
    Told { outcome, names: Names::default() }
}

/// Where the order's pieces are in the end.
async fn pieces_after(
    shop: &Shop,
    given: &Names,
    reports: &[ShipmentState],
    end: &'static str,
) -> Told {
    let order = given.get("order");
    for state in reports {
        report(shop, order, *state).await.unwrap();
    }
    let dead = DeadLetters::of(shop, "inventory", order).await;
    let outcome = eventually("the pieces to move, or a dead letter", async || {
        if dead.are_there().await {
            return Some(json!("a dead letter"));
        }
        let state = shop.reservation(order).await?.state();
        state.as_str_name().to_lowercase().ends_with(end).then(|| json!(end))
    });
    Told { outcome: outcome.await, names: Names::default() }
}

/// Events about an order's parcel that a service could not apply.
struct DeadLetters {
    pool: PgPool,
    key: String,
}

impl DeadLetters {
    async fn of(shop: &Shop, service: &str, order: &str) -> Self {
        let pool = PgPool::connect(shop.platform.database_url(service)).await.unwrap();
        Self { pool, key: step_key(order, "create_shipment") }
    }

    async fn are_there(&self) -> bool {
        sqlx::query_scalar::<_, bool>("SELECT EXISTS (SELECT FROM dead_letters WHERE key = $1)")
            .bind(&self.key)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }
}

async fn mug(shop: &Shop) -> Names {
    // What other stories had forgotten is forgotten by now.
    a_creation_is_heard(shop).await;
    Names::of([("sku", MUG.to_owned())])
}

async fn on_sale(shop: &Shop) -> Names {
    let category = category(shop).await;
    let product = in_category(shop, &category).await;
    // Its own announcement has been heard before anything is kept.
    a_creation_is_heard(shop).await;
    Names::of([("sku", product.sku), ("product", product.product_id)])
}

async fn empty_category(shop: &Shop) -> Names {
    Names::of([("category", category(shop).await)])
}

async fn a_product_becomes_dearer(shop: &Shop, given: &Names) -> Told {
    page(shop, given).await;
    let (product, now) = becomes_dearer(shop, given.get("sku")).await;
    a_creation_is_heard(shop).await;
    let shown = price(&page(shop, given).await);
    let names = Names::of([("product", product)]);
    Told { outcome: json!({ "shows the new price": shown == now }), names }
}

async fn a_product_is_archived(shop: &Shop, given: &Names) -> Told {
    page(shop, given).await;
    let sku = given.get("sku").to_owned();
    let request = ArchiveProductRequest { request_id: uuid(), sku, etag: String::new() };
    shop.catalog().archive_product(request).await.unwrap();
    a_creation_is_heard(shop).await;
    let outcome = page(shop, given).await["product"]["product"]["state"].take();
    Told { outcome, names: Names::default() }
}

async fn a_product_is_new(shop: &Shop, given: &Names) -> Told {
    let category = given.get("category");
    listed(shop, category).await;
    let product = in_category(shop, category).await;
    a_change_is_heard(shop).await;
    let outcome = json!({ "products in its category": listed(shop, category).await });
    Told { outcome, names: Names::of([("sku", product.sku), ("product", product.product_id)]) }
}

/// Everything that the catalog has announced before has been heard when this returns: what is heard
/// first is taken first.
async fn a_creation_is_heard(shop: &Shop) {
    let category = category(shop).await;
    assert_eq!(listed(shop, &category).await, 0);
    in_category(shop, &category).await;
    eventually("the new product to be shown", async || listed(shop, &category).await == 1).await;
}

/// The same by a change of a product.
async fn a_change_is_heard(shop: &Shop) {
    let given = Names::of([("sku", MUG.to_owned())]);
    page(shop, &given).await;
    let (_, now) = becomes_dearer(shop, MUG).await;
    eventually("the new price to be shown", async || price(&page(shop, &given).await) == now).await;
}

/// One euro more; returns the product's id, and what it costs now.
async fn becomes_dearer(shop: &Shop, sku: &str) -> (String, Value) {
    let product = GetProductRequest { sku: sku.to_owned() };
    let product = shop.catalog().get_product(product).await.unwrap().into_inner().product.unwrap();
    let mut price = product.price.unwrap();
    price.units += 1;
    let now = json!(price.units.to_string());
    let request = UpdateProductRequest {
        request_id: uuid(),
        sku: sku.to_owned(),
        price: Some(price),
        ..Default::default()
    };
    shop.catalog().update_product(request).await.unwrap();
    (product.product_id, now)
}

fn price(page: &Value) -> Value {
    page["product"]["product"]["price"]["units"].clone()
}

async fn listed(shop: &Shop, category: &str) -> usize {
    let page = ask(shop, HOME, json!({ "category_id": category })).await;
    page["products"].as_array().map_or(0, Vec::len)
}
