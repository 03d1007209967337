//! The same order through the gateway, with every client of docs/CLIENTS.md, as it is typed there.

use mesh_testkit::{Chromium, eventually};
use serde_json::Value;
use shop::orders::v1::{ListOrdersRequest, OrderState};

use super::customer::{Checkout, Customer, GATEWAY, open};
use super::{languages, page};
use crate::shop::Shop;

/// Where the page of docs/CLIENTS.md is served.
const ORIGIN: &str = "127.0.0.1:8000";
const SKU: &str = "MUG-BLUE-350";
const WATCH: &str = "/shop.orders.v1.OrdersService/WatchOrder";
/// Under whose heading the page says what all programs print.
const FIRST: &str = "Python";

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_orders_as_the_page_says() {
    let way_out = "https://github.com/fullstorydev/grpcurl/releases";
    by_hand("grpcurl", "grpcurl -version", way_out).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_orders_as_the_page_says() {
    by_hand("curl", "curl --json '' --version", "install curl 7.82 or newer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_orders_as_the_page_says() {
    let version = "python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))'";
    by_program("Python", version, "Debian, Ubuntu: `apt install python3-venv`").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn go_orders_as_the_page_says() {
    let way_out = "https://go.dev/dl has releases; put `go` on PATH";
    by_program("Go", "go version", way_out).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn java_orders_as_the_page_says() {
    let way_out = "Debian, Ubuntu: `apt install openjdk-17-jdk-headless maven`";
    by_program("Java", "javac --version && mvn --version", way_out).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn typescript_orders_from_node_and_from_a_browser_as_the_page_says() {
    let version =
        "npm --version && node -e 'process.exit(+(parseInt(process.versions.node) < 20))'";
    let Some(checkout) = ready("TypeScript", version, "https://nodejs.org has releases").await
    else {
        return;
    };
    let origin = format!("127.0.0.1:{}", mesh_local::free_port().unwrap());
    let shop = open(Some(&format!("http://{origin}"))).await;
    shop.receive(SKU, 10).await;
    let customer = Customer::of(&shop, &checkout).await;

    runs(&customer, "TypeScript").await;
    if let Some(mut browser) = Chromium::find().await {
        let serve = &page::section("From a browser").typed[0];
        assert!(serve.contains(ORIGIN), "{serve}");
        let _served = customer.begins(&serve.replace(ORIGIN, &origin));
        let told = browse(&mut browser, &customer, &origin).await;
        let shown = page::section(FIRST).shown;
        let order = page::order_in(&shown, &told).unwrap_or_else(|line| {
            panic!("the page does not tell\n{line}\nbut\n{told}");
        });
        is_confirmed(&shop, &order).await;
    }
    shop.platform.shutdown().await;
}

/// With a program that sends what is typed.
async fn by_hand(name: &str, version: &str, way_out: &str) {
    let checkout = Checkout::of(name, None);
    if !checkout.has(name, version, way_out).await {
        return;
    }
    let shop = open(None).await;
    shop.receive(SKU, 10).await;
    let customer = Customer::of(&shop, &checkout).await;
    let section = page::section(name);

    let screen = customer.sees(&section.typed.join("\n")).await;

    let order = page::order_in(&section.shown, &screen).unwrap_or_else(|line| {
        panic!("{name} does not show\n{line}\nbut\n{screen}");
    });
    is_confirmed(&shop, &order).await;
    shop.platform.shutdown().await;
}

/// With a program that is built from its sources and the contracts.
async fn by_program(language: &str, version: &str, way_out: &str) {
    let Some(checkout) = ready(language, version, way_out).await else { return };
    let shop = open(None).await;
    shop.receive(SKU, 10).await;
    runs(&Customer::of(&shop, &checkout).await, language).await;
    shop.platform.shutdown().await;
}

/// Where a client in this language can be built; none if this machine cannot, or is not to.
async fn ready(language: &str, version: &str, way_out: &str) -> Option<Checkout> {
    let name = language.to_lowercase();
    if !languages::is_wanted(&name) {
        return None;
    }
    let checkout = Checkout::of(&name, Some(&format!("clients/{name}")));
    let fetch = &page::section(language).typed[0];
    let here = checkout.has(language, version, way_out).await && checkout.fetches(fetch).await;
    languages::of(&name, here.then_some(checkout))
}

/// Builds a program from what is there, and lets it order.
async fn runs(customer: &Customer<'_>, language: &str) {
    let block = page::section(language).typed[1..].join("\n");
    assert!(!block.is_empty(), "under `{language}`, one block fetches and another one orders");
    let shown = page::section(FIRST).shown;

    let screen = customer.types(&block).await;

    assert_eq!(screen.lines().count(), shown.len(), "{screen}");
    let order = page::order_in(&shown, &screen).unwrap_or_else(|line| {
        panic!("{language} does not print\n{line}\nbut\n{screen}");
    });
    is_confirmed(customer.shop, &order).await;
    eventually("whoever has heard enough to be gone", async || {
        let log = customer.shop.platform.service(GATEWAY).log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let is_watched = |line: &Value| line["route"] == WATCH && line["bytes"] != 0;
        lines.any(|line| is_watched(&line) && line["gone"] == true)
    })
    .await;
}

/// The order is what was asked for, and the customer's only one.
async fn is_confirmed(shop: &Shop, order_id: &str) {
    let order = shop.order(order_id).await;
    assert_eq!(order.state(), OrderState::Confirmed);
    let [line] = order.lines.as_slice() else { panic!("{order:?}") };
    assert_eq!((line.sku.as_str(), line.quantity), (SKU, 2));
    let request = ListOrdersRequest { customer_id: order.customer_id, ..Default::default() };
    let listed = eventually("the order to be listed", async || {
        let answer = shop.order_queries().list_orders(request.clone()).await.ok()?.into_inner();
        (!answer.orders.is_empty()).then_some(answer.orders)
    })
    .await;
    assert_eq!(listed.len(), 1, "what was asked for twice is done once: {listed:?}");
}

/// What the page tells of an order.
async fn browse(browser: &mut Chromium, customer: &Customer<'_>, origin: &str) -> String {
    let known = customer.types("echo $GATEWAY; echo $CUSTOMER; echo $TOKEN").await;
    let known: Vec<&str> = known.lines().collect();
    let &[gateway, me, token] = known.as_slice() else { panic!("{known:?}") };
    let address = origin.parse().unwrap();
    eventually("the page to be served", async || mesh_local::http::is_ok(address, "/").await).await;
    browser.visit(&format!("http://{origin}/")).await;
    browser.wait("document.querySelector('form')?.dataset.ready").await;
    for (field, value) in [("gateway", gateway), ("customer", me), ("token", token)] {
        let set = format!("document.forms[0].elements.{field}.value = '{value}'");
        browser.eval(&format!("void ({set})")).await;
    }
    browser.eval("document.forms[0].requestSubmit()").await;
    browser.wait("document.querySelector('output').dataset.done").await;
    browser.eval("document.querySelector('output').textContent").await.as_str().unwrap().to_owned()
}
