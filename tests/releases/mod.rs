//! Each service is deployed by itself: the last release of it and this one serve side by side, on the same
//! database and streams, while the new one is rolled out and while it is taken back.

mod links;

use bytes::Bytes;
use http::{Request, StatusCode};
use mesh_testkit::{browse, eventually, programs_of, skipped, workspace};
use meshctl::migrations;

use crate::network::{Customer, load::Load};
use crate::shop::{GOOD_CARD, SERVICES, Shop};
use links::{Links, Release};

/// Orders that are placed while two releases are side by side, each time.
const ORDERS: usize = 5;
/// Of two of three orders the processor answers late, or its first answers are lost: checkouts are under
/// way whatever is replaced.
const CARDS: [&str; 3] = [GOOD_CARD, "4000000000000366", "4000000000000341"];

#[tokio::test(flavor = "multi_thread")]
async fn the_last_release_and_this_one_serve_side_by_side_there_and_back() {
    let services = [SERVICES, &["storefront", "gateway"]].concat();
    let known = migrations::of_checkout(&workspace()).unwrap();
    let releases = migrations::published(&workspace(), &known).unwrap();
    let release = releases.newest().unwrap();
    let Some(last) = programs_of(&release.commit, &services).await else {
        let what = format!("the commit {} of release {}", release.commit, release.version);
        return skipped(&what, "`git fetch --unshallow` brings it");
    };
    let links = Links::to(&last, &services).await;
    let shop = Shop::with_gateway(|options| links.give(options.two_of_each())).await;
    let doors = [0, 1].map(|replica| shop.platform.replica("orders", replica).grpc());
    let customer = Customer::of(&shop.platform).await;
    let load = Load::paid_with(customer.channel("orders", &doors), &shop, &CARDS).await;

    let there_and_back = async {
        load.more(ORDERS).await;
        for service in &services {
            deploy(&shop, &links, &load, service, Release::This).await;
        }
        for service in services.iter().rev() {
            deploy(&shop, &links, &load, service, Release::Last).await;
        }
        load.close();
    };
    tokio::join!(load.run(), there_and_back);

    assert_eq!(load.failures(), [""; 0]);
    for process in shop.platform.services() {
        assert_eq!(process.starts(), 3, "{} {}", process.name(), process.number());
    }
    println!("{} orders from {} to this release and back", load.placed(), release.version);
    load.is_settled(&shop).await;
    shop.platform.shutdown().await;
}

/// Replaces the processes of a service by those of a release, one after the other, with orders placed while
/// both are there.
async fn deploy(shop: &Shop, links: &Links, load: &Load, service: &str, release: Release) {
    for process in shop.platform.replicas(service) {
        process.replace(|| links.lead(&format!("{service}.{}", process.number()), release)).await;
        load.more(ORDERS).await;
        customers_are_answered(shop).await;
    }
    println!("{service}: {release:?}, {} orders so far", load.placed());
}

/// Either gateway shows what is sold, and a page that the storefront composes.
async fn customers_are_answered(shop: &Shop) {
    for gateway in shop.platform.replicas("gateway") {
        for path in ["/v1/products?page_size=1", "/v1/pages/home"] {
            eventually(
                &format!("{path} to be answered by gateway {}", gateway.number()),
                async || {
                    let request = Request::get(path).body(Bytes::new()).unwrap();
                    browse(gateway.grpc(), request)
                        .await
                        .is_ok_and(|answer| answer.status == StatusCode::OK)
                },
            )
            .await;
        }
    }
}
