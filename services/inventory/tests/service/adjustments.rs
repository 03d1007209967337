//! The books are brought in line with the shelf, once per request, and never below nothing.

use futures::future::join_all;
use prost::Message as _;
use shop::inventory::v1::{
    AdjustStockRequest, AdjustmentReason, ListMovementsRequest, StockAdjusted, StockPlace,
};
use tonic::Code;
use uuid::Uuid;

use crate::inventory::{Inventory, adjustment, blamed, broken_rule, order, refusal};

#[tokio::test]
async fn every_reason_moves_its_pieces_and_says_so() {
    use AdjustmentReason::{Counted, Damaged, Found, ReturnedToSupplier};
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 20).await;

    let mut places = Vec::new();
    for (quantity, reason) in
        [(-3, Counted), (2, Counted), (-4, Damaged), (1, Found), (-6, ReturnedToSupplier)]
    {
        let before = inventory.stock("MUG").await;
        let request = adjustment("MUG", quantity, reason);
        let after = inventory.adjust(request.clone()).await.unwrap();

        assert_eq!(after, inventory.stock("MUG").await);
        assert_eq!(after.on_hand, before.on_hand + quantity, "{reason:?}");
        let (name, body) = inventory.news("MUG").await.pop().unwrap();
        assert_eq!(name, "StockAdjusted");
        let told = StockAdjusted::decode(&body[..]).unwrap();
        assert_eq!((told.quantity, told.reason(), told.on_hand), (quantity, reason, after.on_hand));
        assert_eq!((told.adjustment_id.as_str(), told.sku.as_str()), (&*request.request_id, "MUG"));
        let moved = last_movement(&inventory, "MUG").await;
        assert_eq!((moved.adjustment_id.as_str(), moved.reason()), (&*request.request_id, reason));
        assert_eq!((moved.quantity, &moved.note), (quantity.abs(), &request.note));
        places.push((moved.from(), moved.to()));
    }

    use StockPlace::{Lost, OnHand, Supplier};
    let out = [(OnHand, Lost), (Supplier, OnHand), (OnHand, Lost), (Supplier, OnHand)];
    assert_eq!(places[..4], out);
    assert_eq!(places[4], (OnHand, Supplier));
    let stock = inventory.stock("MUG").await;
    assert_eq!((stock.on_hand, stock.lost, stock.received), (10, 7, 17));
    inventory.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_adjustment_is_made_once_and_answered_as_the_first() {
    let inventory = Inventory::start().await;
    let (_other, second) = inventory.replica().await;
    inventory.receive("MUG", 50).await;
    let request = adjustment("MUG", -7, AdjustmentReason::Damaged);

    let adjust = |n: usize| {
        let mut client =
            if n.is_multiple_of(2) { inventory.client.clone() } else { second.clone() };
        let request = request.clone();
        async move { client.adjust_stock(request).await.unwrap().into_inner().stock.unwrap() }
    };
    let first = inventory.all_at_once(join_all((0..20).map(adjust))).await;
    inventory.reserve(order(&[("MUG", 3)])).await.unwrap();
    let again = adjust(0).await;

    assert!(first.iter().all(|stock| *stock == again), "{first:?} {again:?}");
    assert_eq!((again.on_hand, again.lost), (43, 7));
    assert_eq!(inventory.stock("MUG").await.on_hand, 40);
    assert_eq!(inventory.news_names("MUG").await, ["StockAdjusted"]);
    inventory.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_id_adjusts_one_sku_whoever_comes_first() {
    let inventory = Inventory::start().await;
    let (_other, second) = inventory.replica().await;
    inventory.receive("MUG", 50).await;
    inventory.receive("CUP", 50).await;

    for _ in 0..10 {
        let mug = adjustment("MUG", -1, AdjustmentReason::Counted);
        let cup = AdjustStockRequest { sku: "CUP".to_owned(), ..mug.clone() };
        let mut other = second.clone();
        let both = futures::future::join(inventory.adjust(mug), other.adjust_stock(cup));
        let (mug, cup) = inventory.all_at_once(both).await;

        let refused = match (mug, cup) {
            (Ok(_), Err(refused)) | (Err(refused), Ok(_)) => refused,
            both => panic!("not exactly one: {both:?}"),
        };
        assert_eq!(refusal(Err::<(), _>(refused.clone())), broken_rule("REQUEST_CONTENT_DIFFERS"));
        assert_eq!(blamed(Err::<(), _>(refused)), "request_id");
    }

    let left = inventory.stock("MUG").await.on_hand + inventory.stock("CUP").await.on_hand;
    assert_eq!(left, 90);
    inventory.end().await;
}

#[tokio::test]
async fn an_adjustment_that_cannot_be_leaves_no_row() {
    let inventory = Inventory::start().await;
    inventory.receive("MUG", 5).await;
    inventory.reserve(order(&[("MUG", 2)])).await.unwrap();
    let made = adjustment("MUG", -1, AdjustmentReason::Counted);
    inventory.adjust(made.clone()).await.unwrap();
    let before = inventory.rows().await;
    let refused = |code, reason: &str, sku: &str| (code, reason.to_owned(), Some(sku.to_owned()));

    let too_many = adjustment("MUG", -3, AdjustmentReason::Damaged);
    let answer = inventory.adjust(too_many).await;
    assert_eq!(blamed(answer.clone()), "quantity");
    assert_eq!(refusal(answer), refused(Code::FailedPrecondition, "OUT_OF_STOCK", "MUG"));
    let unknown = inventory.adjust(adjustment("CUP", 1, AdjustmentReason::Found)).await;
    assert_eq!(blamed(unknown.clone()), "sku");
    assert_eq!(refusal(unknown), refused(Code::NotFound, "SKU_NOT_FOUND", "CUP"));
    let other = AdjustStockRequest { note: "another".to_owned(), ..made };
    let answer = inventory.adjust(other).await;
    assert_eq!(blamed(answer.clone()), "request_id");
    assert_eq!(refusal(answer), broken_rule("REQUEST_CONTENT_DIFFERS"));

    assert_eq!(inventory.rows().await, before);
    inventory.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adjustments_and_orders_never_take_a_piece_twice() {
    let inventory = Inventory::start().await;
    let (_other, second) = inventory.replica().await;
    inventory.receive("MUG", 40).await;

    let take = |n: usize| {
        let (inventory, mut other) = (&inventory, second.clone());
        async move {
            match n % 2 {
                0 => inventory.reserve(order(&[("MUG", 1)])).await.is_ok(),
                _ => {
                    let request = adjustment("MUG", -1, AdjustmentReason::Damaged);
                    other.adjust_stock(request).await.is_ok()
                }
            }
        }
    };
    let taken = join_all((0..80).map(take)).await;

    assert_eq!(taken.iter().filter(|taken| **taken).count(), 40);
    let stock = inventory.stock("MUG").await;
    assert_eq!((stock.on_hand, stock.reserved + stock.lost), (0, 40));
    let news = inventory.news_names("MUG").await;
    assert_eq!(news.iter().filter(|name| *name == "StockDepleted").count(), 1);
    inventory.end().await;
}

async fn last_movement(inventory: &Inventory, sku: &str) -> shop::inventory::v1::StockMovement {
    let request = ListMovementsRequest {
        sku: sku.to_owned(),
        page_size: 1,
        ..ListMovementsRequest::default()
    };
    let answer = inventory.client.clone().list_movements(request).await.unwrap().into_inner();
    assert!(Uuid::try_parse(&answer.movements[0].adjustment_id).is_ok());
    answer.movements.into_iter().next().unwrap()
}
