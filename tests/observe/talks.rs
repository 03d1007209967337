//! What the shop's own services say to each other for one request, by the traces that `up` keeps.

use mesh_testkit::eventually;
use meshctl::{
    graph::Graph,
    services::sources,
    traces::{Talk, ask_talks},
};
use shop::{
    orders::v1::OrderState,
    storefront::v1::{
        GetHomePageRequest, GetOrderPageRequest, GetProductPageRequest,
        storefront_service_client::StorefrontServiceClient,
    },
};

use super::Traced;
use crate::{
    orders_and_money::cancel,
    shop::{GOOD_CARD, uuid},
};

/// Who asks whom for what, of which all have to be seen before anything is judged. What the storefront
/// keeps of the catalog it loads for all who ask for it, and so in nobody's trace.
const EXPECTED: [(&str, &str, &str); 7] = [
    ("orders", "PlaceOrder", "catalog"),
    ("orders", "saga", "inventory"),
    ("orders", "saga", "payments"),
    ("payments", "AuthorizePayment", "processor"),
    ("storefront", "GetOrderPage", "orders"),
    ("storefront", "GetOrderPage", "payments"),
    ("storefront", "GetProductPage", "inventory"),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_request_of_the_shop_is_a_conversation_between_two_services() {
    let traced = Traced::with_gateway().await;
    let shop = &traced.shop;
    let sku = shop.stocked(9).await;
    let request = shop.order_of(&sku, 1, GOOD_CARD).await;
    let order_id = shop.place(request).await.unwrap().order_id;
    shop.comes_to(&order_id, OrderState::Confirmed).await;
    shop.rests(&order_id).await;
    let mut pages = StorefrontServiceClient::new(shop.channel("storefront"));
    let home = GetHomePageRequest { customer_id: uuid(), ..Default::default() };
    pages.get_home_page(home).await.unwrap();
    pages.get_product_page(GetProductPageRequest { sku }).await.unwrap();
    pages.get_order_page(GetOrderPageRequest { order_id: order_id.clone() }).await.unwrap();
    // A saga with everything that is taken back.
    cancel(shop, &order_id).await.unwrap();
    shop.comes_to(&order_id, OrderState::Cancelled).await;

    let is = |talk: &Talk, (from, request, to): (&str, &str, &str)| {
        talk.from == from && talk.to == to && talk.request.rsplit('/').next() == Some(request)
    };
    let talks = eventually("every pair to be seen", async || {
        let talks = ask_talks(traced.door.address()).await.unwrap();
        let seen = EXPECTED.iter().all(|expected| talks.iter().any(|it| is(it, *expected)));
        seen.then_some(talks)
    })
    .await;

    let graph = Graph::read(sources()).unwrap();
    assert_eq!(graph.chatty(&talks), []);
    traced.shop.platform.shutdown().await;
}
