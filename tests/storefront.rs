//! Pages of the shop: what they show, what they show without whoever is away, and what is forgotten in
//! every replica.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, header};
use mesh_local::Signal;
use mesh_testkit::{browse, eventually};
use shop::{
    catalog::v1::{
        CreateCategoryRequest, CreateProductRequest, GetProductRequest, Product,
        UpdateProductRequest,
    },
    common::v1::Money,
    orders::v1::OrderState,
    storefront::v1::{
        Availability, GetHomePageRequest, GetOrderPageRequest, GetOrderPageResponse,
        GetProductPageRequest, GetProductPageResponse, Part, PartState, PurgeCacheRequest,
        storefront_service_client::StorefrontServiceClient,
    },
};
use tonic::{Code, Status};

use crate::{
    callers::Channel,
    evidence::reason,
    generated::Forger,
    shop::{GOOD_CARD, Shop, uuid},
};

const STOREFRONT: &str = "storefront";
const MUG: &str = "MUG-BLUE-350";
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest that a part of a page is waited for, by default.
const PART: Duration = Duration::from_secs(1);

fn pages(shop: &Shop, replica: u32) -> StorefrontServiceClient<Channel> {
    let at = format!("http://{}", shop.platform.replica(STOREFRONT, replica).grpc());
    StorefrontServiceClient::new(Channel::to(&shop.platform, STOREFRONT, at))
}

async fn product(shop: &Shop, replica: u32, sku: &str) -> Result<GetProductPageResponse, Status> {
    let request = GetProductPageRequest { sku: sku.to_owned() };
    Ok(pages(shop, replica).get_product_page(request).await?.into_inner())
}

async fn order_page(shop: &Shop, order_id: &str) -> Result<GetOrderPageResponse, Status> {
    let request = GetOrderPageRequest { order_id: order_id.to_owned() };
    Ok(pages(shop, 0).get_order_page(request).await?.into_inner())
}

/// The page of a product in JSON, at one of the gateways; nothing if there is none.
async fn price_at(shop: &Shop, gateway: u32, sku: &str) -> Option<String> {
    let request = Request::get(format!("/v1/pages/products/{sku}")).body(Bytes::new()).unwrap();
    let answer = browse(shop.platform.replica("gateway", gateway).grpc(), request).await.unwrap();
    if answer.status != 200 {
        return None;
    }
    let page = answer.json().await;
    Some(page.pointer("/product/product/price/units").unwrap().as_str().unwrap().to_owned())
}

/// Names of parts, and how they came about.
fn states(parts: &[Part]) -> Vec<(&str, PartState)> {
    parts.iter().map(|part| (part.name.as_str(), part.state())).collect()
}

fn price(page: &GetProductPageResponse) -> i64 {
    page.product.as_ref().unwrap().product.as_ref().unwrap().price.as_ref().unwrap().units
}

async fn goes(shop: &Shop, service: &str) {
    shop.platform.service(service).process().down(Signal::KILL, PATIENCE).await;
}

async fn comes(shop: &Shop, service: &str) {
    shop.platform.service(service).process().up();
    shop.platform.service(service).ready().await;
}

/// A product of ours with a price.
async fn made(shop: &Shop, units: i64) -> Product {
    made_in(shop, "", units).await
}

/// The same, in a category.
async fn made_in(shop: &Shop, category_id: &str, units: i64) -> Product {
    let price = Money { currency_code: "EUR".to_owned(), units, nanos: 0 };
    let product = CreateProductRequest {
        request_id: uuid(),
        sku: format!("PAGE-{}", &uuid()[..8].to_uppercase()),
        name: "Page".to_owned(),
        price: Some(price),
        category_id: category_id.to_owned(),
        ..Default::default()
    };
    let made = shop.catalog().create_product(product).await.unwrap();
    made.into_inner().product.unwrap()
}

async fn costs(shop: &Shop, product: &Product, units: i64) {
    let price = Money { currency_code: "EUR".to_owned(), units, nanos: 0 };
    let update = UpdateProductRequest {
        request_id: uuid(),
        sku: product.sku.clone(),
        price: Some(price),
        ..Default::default()
    };
    shop.catalog().update_product(update).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_what_the_services_say_in_one_call() {
    let shop = Shop::with_gateway(|options| options).await;
    shop.receive(MUG, 100).await;
    let cart = shop.cart(MUG, 3).await;

    let home = GetHomePageRequest { customer_id: cart.customer_id, ..Default::default() };
    let home = pages(&shop, 0).get_home_page(home).await.unwrap().into_inner();
    assert_eq!((home.products.len(), home.cart_count), (8, 3));
    let fresh = ["products", "stock", "cart"].map(|name| (name, PartState::Fresh));
    assert_eq!(states(&home.parts), fresh);

    let mug = product(&shop, 0, MUG).await.unwrap();
    assert_eq!(mug.product.as_ref().unwrap().availability(), Availability::InStock);
    assert_eq!(states(&mug.parts), ["product", "stock"].map(|name| (name, PartState::Fresh)));
    let unknown = product(&shop, 0, "NOBODY-SELLS-THIS").await.unwrap_err();
    assert_eq!((unknown.code(), reason(&unknown).as_str()), (Code::NotFound, "PRODUCT_NOT_FOUND"));

    let request = shop.order_of(MUG, 1, GOOD_CARD).await;
    let order = shop.place(request).await.unwrap();
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    shop.rests(&order.order_id).await;
    let page = order_page(&shop, &order.order_id).await.unwrap();
    assert_eq!(page.order.unwrap().state(), OrderState::Confirmed);
    assert_eq!((page.payments.len(), page.shipments.len()), (1, 1));
    assert!(page.history.len() >= 2, "{:?}", page.history);
    let fresh = ["history", "payments", "shipments"].map(|name| (name, PartState::Fresh));
    assert_eq!(states(&page.parts), fresh);

    // In JSON, and to its customer alone.
    let target = format!("/v1/pages/orders/{}", order.order_id);
    for (customer, status) in [(order.customer_id.clone(), 200), (uuid(), 404)] {
        let token = format!("Bearer {}", Forger::of(&shop.platform).token(&customer, &[]));
        let request = Request::get(&target).header(header::AUTHORIZATION, token);
        let request = request.body(Bytes::new()).unwrap();
        let answer = browse(shop.platform.grpc("gateway"), request).await.unwrap();
        assert_eq!(answer.status, status);
    }
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_home_page_shows_what_the_shop_features_to_who_asks_for_no_other() {
    let featured = uuid();
    let named = featured.clone();
    let shop = Shop::with_gateway(|options| options.env(STOREFRONT, "FEATURED_CATEGORY", &named));
    let shop = shop.await;
    let request = CreateCategoryRequest {
        request_id: featured.clone(),
        slug: format!("featured-{}", &featured[..8]),
        name: "Featured".to_owned(),
    };
    let made = shop.catalog().create_category(request).await.unwrap().into_inner();
    assert_eq!(made.category.unwrap().category_id, featured);
    let ours = made_in(&shop, &featured, 10).await;
    let mug = shop.catalog().get_product(GetProductRequest { sku: MUG.to_owned() }).await.unwrap();
    let elsewhere = mug.into_inner().product.unwrap().category_id;

    let shown = async |category_id: &str| {
        let request =
            GetHomePageRequest { category_id: category_id.to_owned(), ..Default::default() };
        let page = eventually("the page to be had in its time", async || {
            pages(&shop, 0).get_home_page(request.clone()).await.ok()
        });
        let cards = page.await.into_inner().products.into_iter();
        cards.map(|card| card.product.unwrap().sku).collect::<Vec<_>>()
    };
    eventually("it to be featured", async || shown("").await == [ours.sku.clone()]).await;
    assert_eq!(shown(&featured).await, std::slice::from_ref(&ours.sku));
    let others = shown(&elsewhere).await;
    assert!(others.contains(&MUG.to_owned()) && !others.contains(&ours.sku), "{others:?}");
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_answer_costs_a_page_one_limit_and_then_none_and_is_a_missing_part() {
    let shop = Shop::with_gateway(|options| options.env(STOREFRONT, "FRESH_SECONDS", "1")).await;
    let order = shop.simple_order().await;
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    shop.rests(&order.order_id).await;
    let fresh = ["history", "payments", "shipments"].map(|name| (name, PartState::Fresh));
    assert_eq!(states(&order_page(&shop, &order.order_id).await.unwrap().parts), fresh);

    for service in ["payments", "shipping"] {
        shop.platform.service(service).stop();
    }
    // Why the two are missing, and how long the page took; nothing while another part is late, too.
    let missing = async || {
        let begun = Instant::now();
        let page = order_page(&shop, &order.order_id).await.unwrap();
        assert_eq!(page.order.as_ref().unwrap().order_id, order.order_id);
        let mut expected = fresh;
        expected[1..].iter_mut().for_each(|(_, state)| *state = PartState::Missing);
        let why: Vec<_> = page.parts[1..].iter().map(|part| part.reason.clone()).collect();
        (states(&page.parts) == expected).then_some((why, begun.elapsed()))
    };
    let (why, mut fastest) = eventually("both to be missing", async || missing().await).await;
    assert_eq!(why, ["DEADLINE_EXCEEDED"; 2]);
    eventually("both circuits to open", async || {
        let (why, took) = missing().await?;
        if why == ["DEADLINE_EXCEEDED"; 2] {
            fastest = fastest.min(took);
        }
        (why == ["CIRCUIT_OPEN"; 2]).then_some(())
    })
    .await;
    // Side by side: one after the other they would take two limits each time.
    assert!((PART..2 * PART).contains(&fastest), "{fastest:?}");

    for service in ["payments", "shipping"] {
        shop.platform.service(service).cont();
    }
    eventually("all parts to be there again", async || {
        states(&order_page(&shop, &order.order_id).await.unwrap().parts) == fresh
    })
    .await;
    reads_are_counted(&shop).await;
    shop.platform.shutdown().await;
}

/// Reads of what is kept are counted by what they found: each once.
async fn reads_are_counted(shop: &Shop) {
    let count = async || {
        let count = async |result| {
            let metric = "shop_storefront_cache_reads_total";
            shop.metric(STOREFRONT, metric, &[("result", result)]).await
        };
        [count("miss").await, count("hit").await, count("stale").await]
    };
    let ours = made(shop, 10).await;
    let before = count().await;
    let mut reads = 0.0;
    let mut grown = async || {
        product(shop, 0, &ours.sku).await.unwrap();
        reads += 1.0;
        let now = count().await;
        let grown = [0, 1, 2].map(|at| now[at] - before[at]);
        assert_eq!(grown.iter().sum::<f64>(), reads, "{grown:?}");
        grown
    };
    assert_eq!(grown().await, [1.0, 0.0, 0.0], "nobody has asked for it");
    eventually("a hit", async || grown().await[1] > 0.0).await;
    eventually("a stale answer", async || grown().await[2] > 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_away_is_a_missing_or_an_older_part_and_no_failed_page() {
    let shop = Shop::with_gateway(|options| options.env(STOREFRONT, "FRESH_SECONDS", "0")).await;
    shop.receive(MUG, 100).await;
    let request = shop.order_of(MUG, 1, GOOD_CARD).await;
    let order = shop.place(request).await.unwrap();
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    shop.rests(&order.order_id).await;
    product(&shop, 0, MUG).await.unwrap();
    let home = GetHomePageRequest::default();
    pages(&shop, 0).get_home_page(home.clone()).await.unwrap();

    for service in ["catalog", "inventory", "payments", "shipping"] {
        goes(&shop, service).await;
    }

    let mug = product(&shop, 0, MUG).await.unwrap();
    let expected = [("product", PartState::Stale), ("stock", PartState::Missing)];
    assert_eq!(states(&mug.parts), expected);
    let card = mug.product.unwrap();
    assert_eq!(card.availability(), Availability::Unspecified);
    assert_eq!(card.product.unwrap().sku, MUG);
    let home = pages(&shop, 0).get_home_page(home).await.unwrap().into_inner();
    assert_eq!(home.products.len(), 8);
    assert_eq!(states(&home.parts)[0], ("products", PartState::Stale));
    let unknown = product(&shop, 0, "NEVER-ASKED-FOR").await.unwrap_err();
    let silent = [Code::Unavailable, Code::DeadlineExceeded];
    assert!(silent.contains(&unknown.code()), "nothing is known of it: {unknown:?}");
    let page = order_page(&shop, &order.order_id).await.unwrap();
    assert_eq!(page.order.unwrap().state(), OrderState::Confirmed);
    let expected = [
        ("history", PartState::Fresh),
        ("payments", PartState::Missing),
        ("shipments", PartState::Missing),
    ];
    assert_eq!(states(&page.parts), expected);
    assert!(page.parts[1..].iter().all(|part| !part.reason.is_empty()), "{:?}", page.parts);

    for service in ["catalog", "inventory", "payments", "shipping"] {
        comes(&shop, service).await;
    }
    eventually("all parts to be there again", async || {
        let mug = product(&shop, 0, MUG).await.ok()?;
        let page = order_page(&shop, &order.order_id).await.ok()?;
        let mut parts = mug.parts.iter().skip(1).chain(&page.parts);
        parts.all(|part| part.state() == PartState::Fresh).then_some(())
    })
    .await;
    goes(&shop, "orders").await;
    let silent = order_page(&shop, &order.order_id).await.unwrap_err();
    assert!(matches!(silent.code(), Code::Unavailable | Code::DeadlineExceeded), "{silent:?}");
    let home = GetHomePageRequest { customer_id: uuid(), ..Default::default() };
    let home = pages(&shop, 0).get_home_page(home).await.unwrap().into_inner();
    assert_eq!(states(&home.parts)[2], ("cart", PartState::Missing));
    comes(&shop, "orders").await;
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_replica_forgets_what_changed_and_what_is_purged() {
    let shop = Shop::with_gateway(|options| {
        let options = options.replicas(STOREFRONT, 2).replicas("gateway", 2);
        options.env(STOREFRONT, "FRESH_SECONDS", "3600")
    })
    .await;
    let ours = made(&shop, 10).await;
    let shows = async |units: i64| {
        eventually(&format!("every replica to show {units}"), async || {
            for replica in [0, 1] {
                let page = product(&shop, replica, &ours.sku).await.ok()?;
                (price(&page) == units).then_some(())?;
            }
            for gateway in [0, 1] {
                let shown = price_at(&shop, gateway, &ours.sku).await?;
                (shown == units.to_string()).then_some(())?;
            }
            Some(())
        })
        .await;
    };
    shows(10).await;

    costs(&shop, &ours, 12).await;
    shows(12).await;

    // Both have it now, and show it without the catalog until they are told to forget.
    goes(&shop, "catalog").await;
    for replica in [0, 1] {
        assert_eq!(price(&product(&shop, replica, &ours.sku).await.unwrap()), 12);
    }
    let purge = PurgeCacheRequest { prefix: format!("product:{}", ours.sku) };
    let purged = pages(&shop, 0).purge_cache(purge).await.unwrap().into_inner().purged;
    assert_eq!(purged, 1);
    eventually("every replica to forget", async || {
        for replica in [0, 1] {
            product(&shop, replica, &ours.sku).await.err()?;
        }
        Some(())
    })
    .await;
    for gateway in [0, 1] {
        assert_eq!(price_at(&shop, gateway, &ours.sku).await, None);
    }
    comes(&shop, "catalog").await;
    shows(12).await;
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_while_the_broker_was_away_is_not_shown_when_it_is_back() {
    let shop = Shop::with_gateway(|options| options.env(STOREFRONT, "FRESH_SECONDS", "3600")).await;
    let ours = made(&shop, 10).await;
    eventually("the page", async || product(&shop, 0, &ours.sku).await.ok().map(|_| ())).await;

    shop.platform.nats().down().await;
    eventually("the loss to be noticed", async || {
        shop.metric(STOREFRONT, "mesh_auth_revocations_unknown", &[]).await == 1.0
    })
    .await;
    // Known anew, and taken for fresh from here on, as far as anybody can tell.
    assert_eq!(price(&product(&shop, 0, &ours.sku).await.unwrap()), 10);
    costs(&shop, &ours, 15).await;
    assert_eq!(price(&product(&shop, 0, &ours.sku).await.unwrap()), 10, "nobody could tell");
    shop.platform.nats().up().await;

    eventually("the new price", async || {
        let page = product(&shop, 0, &ours.sku).await.ok()?;
        (price(&page) == 15).then_some(())
    })
    .await;
    shop.platform.shutdown().await;
}
