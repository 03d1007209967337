//! The service graph is what happens: every edge that a `mesh.toml` declares is taken, and no other.

use std::collections::BTreeSet;

use meshctl::{
    graph::{Edge, Graph},
    services::sources,
};
use shop::{
    catalog::v1::UpdateProductRequest,
    common::v1::Money,
    orders::v1::OrderState,
    payments::v1::{AuthorizePaymentRequest, CapturePaymentRequest, PaymentState},
    processor::v1::CaptureChargeRequest,
    shipping::v1::ShipmentState,
    storefront::v1::{
        GetHomePageRequest, GetOrderPageRequest, GetProductPageRequest,
        storefront_service_client::StorefrontServiceClient,
    },
};

use crate::{
    by_traffic::calls::ask_by,
    orders_and_money::{cancel, report},
    shop::{GOOD_CARD, SERVICES, Shop, address, uuid},
};

/// `caller → callee` or `publisher → subscriber`, and the RPC or stream.
type Seen = BTreeSet<String>;

/// What every kind of end makes the services say to each other, as they count it themselves.
#[tokio::test(flavor = "multi_thread")]
async fn services_call_and_hear_whom_they_declare_and_nobody_else() {
    let shop = Shop::with_gateway(|options| options).await;
    let sku = shop.stocked(9).await;

    a_parcel_is_lost(&shop, &sku).await;
    a_confirmed_order_is_cancelled(&shop, &sku).await;
    nobody_serves_the_address(&shop, &sku).await;
    a_charge_is_captured_behind_payments(&shop).await;
    pages_are_shown(&shop, &sku).await;
    what_is_kept_of_a_product_is_forgotten(&shop, &sku).await;
    let graph = Graph::read(sources()).unwrap();
    everything_is_asked_for_at_the_door(&shop, &graph).await;

    assert_eq!(calls_counted(&shop).await, declared(&graph.calls));
    assert_eq!(streams_heard(&shop).await, streams(&graph.events));
    shop.platform.shutdown().await;
}

async fn a_parcel_is_lost(shop: &Shop, sku: &str) {
    let id = confirmed(shop, sku).await;
    for state in [ShipmentState::Dispatched, ShipmentState::Lost] {
        report(shop, &id, state).await.unwrap();
    }
    shop.comes_to(&id, OrderState::Lost).await;
    mesh_testkit::eventually("the loss to be written off", async || {
        (shop.stock(sku).await.lost == 1).then_some(())
    })
    .await;
}

async fn a_confirmed_order_is_cancelled(shop: &Shop, sku: &str) {
    let id = confirmed(shop, sku).await;
    cancel(shop, &id).await.unwrap();
    shop.comes_to(&id, OrderState::Cancelled).await;
}

async fn nobody_serves_the_address(shop: &Shop, sku: &str) {
    let mut request = shop.order_of(sku, 1, GOOD_CARD).await;
    request.address = Some(address("AQ"));
    let id = shop.place(request).await.unwrap().order_id;
    shop.comes_to(&id, OrderState::Rejected).await;
}

/// Payments has to ask the processor what became of the charge.
async fn a_charge_is_captured_behind_payments(shop: &Shop) {
    let amount = shop.simple_order().await.total;
    let authorize = AuthorizePaymentRequest {
        request_id: uuid(),
        order_id: uuid(),
        amount,
        card_token: shop.card(GOOD_CARD).await,
    };
    let payment_id = authorize.request_id.clone();
    shop.payments().authorize_payment(authorize).await.unwrap();
    let behind =
        CaptureChargeRequest { request_id: uuid(), charge_id: payment_id.clone(), amount: None };
    shop.processor().capture_charge(behind).await.unwrap();

    let capture = CapturePaymentRequest { request_id: uuid(), payment_id, amount: None };
    let payment = shop.payments().capture_payment(capture).await.unwrap().into_inner().payment;

    assert_eq!(payment.unwrap().state(), PaymentState::Captured);
}

async fn pages_are_shown(shop: &Shop, sku: &str) {
    let order_id = confirmed(shop, sku).await;
    let mut pages = StorefrontServiceClient::new(shop.channel("storefront"));
    let home = GetHomePageRequest { customer_id: uuid(), ..Default::default() };
    pages.get_home_page(home).await.unwrap();
    pages.get_product_page(GetProductPageRequest { sku: sku.to_owned() }).await.ok();
    pages.get_order_page(GetOrderPageRequest { order_id }).await.unwrap();
}

/// A change is announced, and whoever only listens heeds it.
async fn what_is_kept_of_a_product_is_forgotten(shop: &Shop, sku: &str) {
    let price = Some(Money { currency_code: "EUR".to_owned(), units: 7, nanos: 0 });
    let update = UpdateProductRequest {
        request_id: uuid(),
        sku: sku.to_owned(),
        price,
        ..Default::default()
    };
    shop.catalog().update_product(update).await.unwrap();
    mesh_testkit::eventually("the change to be heard", async || !heard_live(shop).await.is_empty())
        .await;
}

/// Whoever comes in by the gateway decides what it calls: every RPC that it declares, once, by gRPC. What
/// is behind refuses an empty message, or answers it.
async fn everything_is_asked_for_at_the_door(shop: &Shop, graph: &Graph) {
    for name in graph.calls.iter().filter(|edge| edge.from == "gateway").flat_map(|it| &it.names) {
        _ = ask_by(shop.channel("gateway"), name, &[]).await;
    }
}

async fn confirmed(shop: &Shop, sku: &str) -> String {
    let request = shop.order_of(sku, 1, GOOD_CARD).await;
    let id = shop.place(request).await.unwrap().order_id;
    shop.comes_to(&id, OrderState::Confirmed).await;
    shop.rests(&id).await;
    id
}

fn declared(calls: &[Edge]) -> Seen {
    let each = |edge: &Edge| {
        let Edge { from, to, names, .. } = edge.clone();
        names.into_iter().map(move |name| format!("{from} → {to}: {name}"))
    };
    calls.iter().flat_map(each).collect()
}

fn streams(events: &[Edge]) -> Seen {
    events.iter().map(|Edge { from, to, .. }| format!("{from} → {to}")).collect()
}

/// What the client stacks have counted since their processes started.
async fn calls_counted(shop: &Shop) -> Seen {
    let mut seen = Seen::new();
    for (service, line) in counters(shop, "rpc_client_call_duration_seconds_count{").await {
        let (to, method) = (label(&line, "target"), label(&line, "rpc_method"));
        seen.insert(format!("{service} → {to}: {method}"));
    }
    seen
}

async fn streams_heard(shop: &Shop) -> Seen {
    let heard = counters(shop, "mesh_consumer_handled_total{").await;
    let heard =
        heard.iter().map(|(service, line)| format!("{} → {service}", label(line, "stream")));
    heard.chain(heard_live(shop).await).collect()
}

/// Who hears events as they are published has no consumer that counts them, but a count of what it does
/// about them: the storefront keeps answers of the catalog's alone.
async fn heard_live(shop: &Shop) -> Seen {
    let forgotten = counters(shop, "shop_storefront_cache_forgotten_total{").await;
    let heard = forgotten.into_iter().filter(|(_, line)| label(line, "why") == "event");
    heard.map(|(service, _)| format!("catalog → {service}")).collect()
}

/// The series of this name that have counted something, each with its service.
async fn counters(shop: &Shop, name: &str) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for service in SERVICES.iter().chain(&["storefront", "gateway"]) {
        let text = shop.platform.service(service).metrics().await;
        let lines = text.lines().filter(|line| line.starts_with(name) && !line.ends_with(" 0"));
        found.extend(lines.map(|line| (*service, line.to_owned())));
    }
    found
}

fn label(line: &str, name: &str) -> String {
    let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}
