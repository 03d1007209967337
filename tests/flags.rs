//! Flags: what operators say while services run is heard by every replica, and outlives the broker.

use mesh_events::Nats;
use mesh_flags::{BadRule, Board, Rule};
use mesh_testkit::{Platform, PlatformOptions, eventually};
use shop::storefront::v1::{
    GetHomePageRequest, Part, PartState, storefront_service_client::StorefrontServiceClient,
};

use crate::{
    callers::Channel,
    shop::{SERVICES, Shop, uuid},
};

const STOREFRONT: &str = "storefront";
/// Whether the home page shows whether there is any.
const STOCK: &str = "storefront.home_stock";

/// What the operator of this shop says flags by.
pub async fn board(shop: &Shop) -> Board {
    let nats = Nats::open(&shop.platform.operator_nats(), "operator").await.unwrap();
    nats.connected().await;
    Board::open(nats.jetstream()).await.unwrap()
}

/// Says of a flag whatever holds.
pub async fn say(board: &Board, flag: &str, rule: Result<Rule, BadRule>) {
    let edit = |_| rule.clone().map(Some);
    board.change(flag, ("a test", "to see"), edit).await.unwrap();
}

/// How the part `stock` of a customer's home page came about.
async fn stock(shop: &Shop, replica: u32, customer: &str) -> Part {
    let at = format!("http://{}", shop.platform.replica(STOREFRONT, replica).grpc());
    let channel = Channel::to(&shop.platform, STOREFRONT, at);
    let request = GetHomePageRequest { customer_id: customer.to_owned(), ..Default::default() };
    let page = StorefrontServiceClient::new(channel).get_home_page(request).await.unwrap();
    page.into_inner().parts.into_iter().find(|part| part.name == "stock").unwrap()
}

async fn is_shown(shop: &Shop, replica: u32, customer: &str) -> bool {
    let part = stock(shop, replica, customer).await;
    match part.state() {
        PartState::Fresh => true,
        PartState::NotAsked if part.reason == "SWITCHED_OFF" => false,
        other => panic!("{other:?}: {part:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_page_is_switched_off_for_all_some_or_one_and_stays_so_without_the_broker() {
    let all = [SERVICES, &[STOREFRONT]].concat();
    let options = PlatformOptions::new(&all).replicas(STOREFRONT, 2);
    let shop = Shop { platform: Platform::start(options).await };
    let board = board(&shop).await;
    let ada = uuid();
    for replica in [0, 1] {
        assert!(is_shown(&shop, replica, "").await, "as declared");
    }

    say(&board, STOCK, Rule::percent(0)).await;
    for replica in [0, 1] {
        eventually("it to be heard", async || !is_shown(&shop, replica, &ada).await).await;
    }
    let named = Rule::percent(0).and_then(|rule| rule.user(&ada, Some(true)));
    say(&board, STOCK, named).await;
    for replica in [0, 1] {
        eventually("it to be heard", async || is_shown(&shop, replica, &ada).await).await;
        assert!(!is_shown(&shop, replica, "").await, "all others");
    }

    say(&board, STOCK, Rule::percent(50)).await;
    let half = Rule::percent(50).unwrap();
    let customers: Vec<_> = (0..40).map(|_| uuid()).collect();
    let shown = |customer: &str| half.decide(STOCK, Some(customer));
    let first = customers.iter().find(|customer| shown(customer)).unwrap();
    for replica in [0, 1] {
        eventually("it to be heard", async || is_shown(&shop, replica, first).await).await;
        for customer in &customers {
            assert_eq!(is_shown(&shop, replica, customer).await, shown(customer), "{customer}");
        }
        assert!(!is_shown(&shop, replica, "").await, "nobody is on no side");
    }
    let labels = [("flag", STOCK), ("answer", "off")];
    assert!(shop.metric(STOREFRONT, "mesh_flags_evaluations_total", &labels).await > 0.0);

    shop.platform.nats().down().await;
    let aged = async || shop.metric(STOREFRONT, "mesh_flags_age_seconds", &[]).await > 0.0;
    eventually("it to be noticed", aged).await;
    for customer in &customers {
        assert_eq!(is_shown(&shop, 0, customer).await, shown(customer), "what was heard last");
    }
    shop.platform.nats().up().await;
    board.change(STOCK, ("a test", "it was seen"), |_| Ok(None)).await.unwrap();
    for replica in [0, 1] {
        eventually("it to be as declared", async || is_shown(&shop, replica, "").await).await;
    }
    shop.platform.shutdown().await;
}
