//! A route moves from an old system to the shop, and back, and nobody notices.

mod old_shop;
mod visitors;

use std::{fs, path::PathBuf};

use bytes::Bytes;
use http::Request;
use mesh_flags::Rule;
use mesh_testkit::{browse, eventually};
use meshctl::users::Who;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    callers::Callers,
    flags::{board, say},
    shop::{Shop, uuid},
};
use old_shop::OldShop;
use visitors::{Crowd, Side, Visitor};

const GATEWAY: &str = "gateway";
const MOVED: &str = "gateway.products_moved";
const SHADOWED: &str = "gateway.products_shadowed";
const ROUTE: &str = "/v1/products/{sku}";
/// What the old system would say of a price: it is in no log.
const WRONG: &str = "4242424242";

/// A file that goes away with the test.
struct File(PathBuf);

impl File {
    fn of(old: &OldShop) -> Self {
        let path = std::env::temp_dir().join(format!("legacy-{}.toml", uuid()));
        let text = format!(
            "[backends.old-shop]\nurl = \"{}\"\n[[routes]]\npath = \"{ROUTE}\"\n\
             backend = \"old-shop\"\nmoved = \"products_moved\"\n\
             shadowed = \"products_shadowed\"\nignore = [\"/product/{}\"]\n",
            old.url(),
            old_shop::OWN
        );
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A shop with two gateways before it, beside an old one.
async fn open(old: &OldShop, file: &File) -> (Shop, String) {
    let path = file.0.display().to_string();
    let shop = Shop::with_gateway(|options| {
        let options = options.replicas(GATEWAY, 2).env(GATEWAY, "LEGACY_FILE", &path);
        options.env(GATEWAY, "TRUSTED_HOPS", "127.0.0.0/8")
    });
    let shop = shop.await;
    let sku = shop.stocked(1).await;
    // As declared the shop answers.
    let request = Request::get(format!("/v1/products/{sku}")).body(Bytes::new()).unwrap();
    let shown = browse(shop.platform.grpc(GATEWAY), request).await.unwrap().json().await;
    old.copy(&sku, &shown["product"]);
    (shop, sku)
}

/// One who is moved first, some who are when half of them are, some who are last; signed in and not.
fn visitors(shop: &Shop) -> Vec<Visitor> {
    let callers = Callers::of(&shop.platform);
    let on = |percent, who: &str| Rule::percent(percent).unwrap().decide(MOVED, Some(who));
    let users = || std::iter::repeat_with(Uuid::now_v7);
    let first = users().find(|user| on(1, &user.to_string())).unwrap();
    let early = users().filter(|user| on(50, &user.to_string()) && !on(1, &user.to_string()));
    let late = users().filter(|user| !on(50, &user.to_string()));
    let users = [first].into_iter().chain(early.take(3)).chain(late.take(3));
    let mut all: Vec<_> = users
        .map(|user| Visitor::signed_in(user, callers.users.header(Who::Customer(user)).unwrap()))
        .collect();
    let addresses = (1..=255).map(|n| format!("203.0.113.{n}"));
    let (early, late): (Vec<_>, Vec<_>) = addresses.partition(|address| on(50, address));
    all.extend([&early[0], &late[0]].map(|address| Visitor::nobody(address)));
    all
}

/// A sum over both gateways.
async fn counted(shop: &Shop, name: &str, labels: &[(&str, &str)]) -> f64 {
    let mut sum = 0.0;
    for number in [0, 1] {
        let text = shop.platform.replica(GATEWAY, number).metrics().await;
        let fits = |line: &&str| {
            let mut labels = labels.iter();
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'))
                && labels.all(|(name, value)| line.contains(&format!("{name}=\"{value}\"")))
        };
        let values = text.lines().filter(fits).filter_map(|line| line.rsplit(' ').next());
        sum += values.filter_map(|value| value.parse::<f64>().ok()).sum::<f64>();
    }
    sum
}

async fn shadows(shop: &Shop, outcome: &str) -> f64 {
    let labels = [("http_route", ROUTE), ("outcome", outcome)];
    counted(shop, "gateway_legacy_shadow_total", &labels).await
}

async fn answered(shop: &Shop, by: &str) -> f64 {
    let labels = [("http_route", ROUTE), ("answered_by", by)];
    counted(shop, "gateway_legacy_requests_total", &labels).await
}

fn at(percent: u8) -> impl Fn(&Visitor) -> Side {
    let rule = Rule::percent(percent).unwrap();
    move |visitor| match rule.decide(MOVED, Some(&visitor.who)) {
        true => Side::New,
        false => Side::Old,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_moves_from_an_old_system_to_the_shop_and_back_without_a_failed_call() {
    let old = OldShop::open().await;
    let file = File::of(&old);
    let (shop, sku) = open(&old, &file).await;
    let board = board(&shop).await;
    let gateways = [0, 1].map(|number| shop.platform.replica(GATEWAY, number).grpc());
    let crowd = Crowd::new(visitors(&shop), &gateways, &sku);

    let scene = async {
        crowd.settles(|_| Side::New).await;
        say(&board, MOVED, Rule::percent(0)).await;
        crowd.settles(at(0)).await;

        say(&board, SHADOWED, Rule::percent(100)).await;
        eventually("shadows to be compared", async || shadows(&shop, "equal").await >= 50.0).await;
        crowd.settles(at(0)).await;
        for percent in [1, 50] {
            say(&board, MOVED, Rule::percent(percent)).await;
            crowd.settles(at(percent)).await;
        }
        assert_eq!(shadows(&shop, "different").await, 0.0, "they say the same");

        dies_and_comes_back(&shop, &old, &crowd).await;
        says_something_else(&shop, &old, &sku).await;

        say(&board, MOVED, Rule::percent(100)).await;
        crowd.settles(at(100)).await;
        say(&board, SHADOWED, Rule::percent(0)).await;
        eventually("it to be left alone", async || {
            let before = old.asked();
            crowd.settles(at(100)).await;
            old.asked() == before
        })
        .await;
        for percent in [50, 1, 0] {
            say(&board, MOVED, Rule::percent(percent)).await;
            crowd.settles(at(percent)).await;
        }
    };
    crowd.look_during(scene).await;

    assert_eq!(crowd.failed(), Vec::<String>::new());
    assert_eq!(answered(&shop, "nobody").await, 0.0);
    shop.platform.shutdown().await;
}

/// While half of the callers are its own.
async fn dies_and_comes_back(shop: &Shop, old: &OldShop, crowd: &Crowd) {
    old.kill();
    crowd.settles(|_| Side::New).await;
    assert!(answered(shop, "fallback").await > 0.0);
    let left_alone = ("outcome", "left_alone");
    eventually("it to be left alone", async || {
        counted(shop, "gateway_legacy_duration_seconds_count", &[left_alone]).await > 0.0
    })
    .await;
    old.start();
    crowd.settles(at(50)).await;
    assert_eq!(counted(shop, "gateway_legacy_circuit_open", &[]).await, 0.0);
}

/// A price that is another one is counted, and told of without it.
async fn says_something_else(shop: &Shop, old: &OldShop, sku: &str) {
    old.change(sku, "/price/units", WRONG);
    eventually("it to be counted", async || shadows(shop, "different").await > 0.0).await;
    let told = eventually("it to be told of", async || {
        let log = [0, 1].map(|number| shop.platform.replica(GATEWAY, number).log()).concat();
        log.lines().find(|line| line.contains("answers differ")).map(str::to_owned)
    });
    let told: Value = serde_json::from_str(&told.await).unwrap();
    assert_eq!(told["places"], "/product/price/units", "{told}");
    for number in [0, 1] {
        assert!(!shop.platform.replica(GATEWAY, number).log().contains(WRONG));
    }
}
