//! Who wants to be warned is warned once on the way down, whatever took the pieces.

use futures::future::join_all;
use prost::Message as _;
use prost_types::Duration;
use shop::inventory::v1::{
    AdjustmentReason, ReservationState, ReserveStockRequest, SetLowStockThresholdRequest,
    StockDepleted, StockLow,
};
use tonic::Code;

use crate::inventory::{Inventory, adjustment, blamed, broken_rule, order, refusal, threshold};

#[tokio::test]
async fn a_falling_shelf_is_told_once_and_again_after_it_was_filled() {
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 10).await;
    inventory.watch(threshold("MUG", 5)).await.unwrap();

    let held = inventory.reserve(order(&[("MUG", 4)])).await.unwrap().reservation_id;
    assert!(inventory.news_names("MUG").await.is_empty(), "six are left");
    inventory.reserve(order(&[("MUG", 1)])).await.unwrap();
    inventory.reserve(order(&[("MUG", 1)])).await.unwrap();
    assert_eq!(inventory.news_names("MUG").await, ["StockLow"], "five, then four");
    inventory.release(&held).await.unwrap();
    inventory.adjust(adjustment("MUG", -8, AdjustmentReason::Damaged)).await.unwrap();
    inventory.receive("MUG", 1).await;
    inventory.reserve(order(&[("MUG", 1)])).await.unwrap();

    let news = inventory.news("MUG").await;
    let names: Vec<_> = news.iter().map(|(name, _)| name.as_str()).collect();
    let low_and_out = ["StockAdjusted", "StockLow", "StockDepleted"];
    assert_eq!(names[..1], ["StockLow"]);
    assert_eq!(names[1..4], low_and_out);
    assert_eq!(names[4..], ["StockDepleted"], "one piece was still low");
    let low = StockLow::decode(&news[0].1[..]).unwrap();
    assert_eq!((low.sku.as_str(), low.on_hand, low.low_stock_threshold), ("MUG", 5, 5));
    assert_eq!(StockLow::decode(&news[2].1[..]).unwrap().on_hand, 0);
    assert_eq!(StockDepleted::decode(&news[4].1[..]).unwrap().sku, "MUG");
    inventory.end().await;
}

#[tokio::test]
async fn a_sale_after_its_hold_was_over_can_be_what_makes_a_shelf_low() {
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 5).await;
    inventory.watch(threshold("MUG", 3)).await.unwrap();
    let hold = Some(Duration { seconds: 1, nanos: 0 });
    let request = ReserveStockRequest { hold, ..order(&[("MUG", 2)]) };
    let id = inventory.reserve(request).await.unwrap().reservation_id;
    mesh_testkit::eventually("the hold ends", async || {
        inventory.reservation(&id).await.state() == ReservationState::Expired
    })
    .await;

    inventory.commit(&id).await.unwrap();

    assert_eq!(inventory.news_names("MUG").await, ["StockLow", "StockLow"]);
    inventory.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_buyers_at_once_make_a_shelf_low_once() {
    let inventory = Inventory::start().await;
    let (_other, second) = inventory.replica().await;
    inventory.receive("MUG", 60).await;
    inventory.watch(threshold("MUG", 30)).await.unwrap();

    let buy = |n: usize| {
        let mut client =
            if n.is_multiple_of(2) { inventory.client.clone() } else { second.clone() };
        async move { client.reserve_stock(order(&[("MUG", 1)])).await }
    };
    let answers = join_all((0..80).map(buy)).await;

    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 60);
    assert_eq!(inventory.news_names("MUG").await, ["StockLow", "StockDepleted"]);
    inventory.end().await;
}

#[tokio::test]
async fn a_threshold_is_set_over_the_one_that_was_seen() {
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 5).await;
    let seen = inventory.stock("MUG").await;
    assert_eq!(seen.low_stock_threshold, 0);
    let request = |low_stock_threshold, etag: &str| SetLowStockThresholdRequest {
        etag: etag.to_owned(),
        ..threshold("MUG", low_stock_threshold)
    };

    // Pieces that move do not change the etag.
    inventory.reserve(order(&[("MUG", 1)])).await.unwrap();
    let first = request(9, &seen.etag);
    let set = inventory.watch(first.clone()).await.unwrap();
    assert_eq!((set.sku.as_str(), set.low_stock_threshold), ("MUG", 9));
    let late = inventory.watch(request(7, &seen.etag)).await;
    assert_eq!(blamed(late.clone()), "etag");
    assert_eq!(refusal(late), (Code::Aborted, "THRESHOLD_CHANGED".to_owned(), None));
    let stock = inventory.stock("MUG").await;
    assert_eq!((stock.low_stock_threshold, &stock.etag), (9, &set.etag));
    inventory.watch(request(8, &set.etag)).await.unwrap();

    assert_eq!(inventory.watch(first.clone()).await.unwrap(), set, "as the first time");
    assert_eq!(inventory.stock("MUG").await.low_stock_threshold, 8, "and no more than that");
    let other = SetLowStockThresholdRequest { low_stock_threshold: 1, ..first };
    let differs = inventory.watch(other).await;
    assert_eq!(blamed(differs.clone()), "request_id");
    assert_eq!(refusal(differs), broken_rule("REQUEST_CONTENT_DIFFERS"));
    let unknown = inventory.watch(threshold("CUP", 1)).await;
    assert_eq!(blamed(unknown.clone()), "sku");
    let not_found = (Code::NotFound, "SKU_NOT_FOUND".to_owned(), Some("CUP".to_owned()));
    assert_eq!(refusal(unknown), not_found);
    assert!(inventory.news_names("MUG").await.is_empty(), "nothing fell");
    inventory.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_thresholds_at_once_are_set_once_and_of_two_over_the_same_one_wins() {
    let inventory = Inventory::start().await;
    let (_other, second) = inventory.replica().await;
    inventory.receive("MUG", 5).await;
    let etag = inventory.stock("MUG").await.etag;
    let request = |to| SetLowStockThresholdRequest { etag: etag.clone(), ..threshold("MUG", to) };
    let (two, three) = (request(2), request(3));

    let set = |n: usize| {
        let mut client =
            if n.is_multiple_of(2) { inventory.client.clone() } else { second.clone() };
        let request = if n.is_multiple_of(3) { two.clone() } else { three.clone() };
        async move { client.set_low_stock_threshold(request).await }
    };
    let answers = inventory.all_at_once(join_all((0..24).map(set))).await;

    let won = inventory.stock("MUG").await;
    let wins = if won.low_stock_threshold == 2 { 8 } else { 16 };
    let set: Vec<_> = answers.iter().flatten().map(tonic::Response::get_ref).collect();
    assert_eq!(set.len(), wins, "{answers:?}");
    assert!(set.iter().all(|set| set.etag == won.etag), "{set:?}");
    for lost in answers.into_iter().filter(Result::is_err) {
        assert_eq!(refusal(lost), (Code::Aborted, "THRESHOLD_CHANGED".to_owned(), None));
    }
    inventory.end().await;
}
