//! Lists: to the end, without gaps or repeats, while others write.

use std::collections::BTreeSet;

use shop::inventory::v1::{
    AdjustmentReason, BatchGetStockRequest, ListMovementsRequest, ListStockRequest, StockMovement,
    StockPlace,
};
use uuid::Uuid;

use crate::inventory::{Inventory, adjustment, order, threshold};

#[tokio::test]
async fn several_skus_are_found_in_the_order_asked_and_the_missing_are_named() {
    let inventory = Inventory::start().await;
    for sku in ["CUP", "MUG", "TEA"] {
        inventory.receive(sku, 5).await;
    }
    let skus: Vec<_> = ["TEA", "NOPE", "CUP", "NEVER"].map(str::to_owned).to_vec();

    let request = BatchGetStockRequest { skus };
    let found = inventory.client.clone().batch_get_stock(request).await.unwrap().into_inner();

    assert_eq!(found.stock, [inventory.stock("TEA").await, inventory.stock("CUP").await]);
    assert_eq!(found.missing_skus, ["NOPE", "NEVER"]);
    let many = (0..1000).map(|n| format!("MUG-{n}")).collect();
    let request = BatchGetStockRequest { skus: many };
    let found = inventory.client.clone().batch_get_stock(request).await.unwrap().into_inner();
    assert_eq!((found.stock.len(), found.missing_skus.len()), (0, 1000));
    inventory.end().await;
}

#[tokio::test]
async fn the_stock_is_listed_to_the_end_while_skus_are_added() {
    let inventory = Inventory::start().await;
    let names: Vec<_> = (10..35).map(|n| format!("SKU-{n}")).collect();
    for name in &names {
        inventory.receive(name, 1).await;
    }

    let mut listed = Vec::new();
    let mut request = ListStockRequest { page_size: 4, ..ListStockRequest::default() };
    loop {
        let page = inventory.client.clone().list_stock(request.clone()).await.unwrap().into_inner();
        assert!(page.stock.len() <= 4);
        listed.extend(page.stock.into_iter().map(|stock| stock.sku));
        // Before and behind what was read.
        inventory.receive(&format!("SKU-{}-B", listed.len()), 1).await;
        inventory.receive(&format!("ZZZ-{}", listed.len()), 1).await;
        if page.next_page_token.is_empty() || listed.len() > 100 {
            break;
        }
        request.page_token = page.next_page_token;
        if listed.len() > 30 {
            request.page_size = 1000;
        }
    }

    assert!(listed.is_sorted(), "{listed:?}");
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len(), "{listed:?}");
    assert!(names.iter().all(|name| listed.contains(name)), "{listed:?}");
    inventory.end().await;
}

#[tokio::test]
async fn what_is_low_is_listed_apart() {
    let inventory = Inventory::start().await;
    for (sku, pieces, low) in
        [("CUP", 5, 5), ("JAR", 6, 5), ("MUG", 0, 5), ("PAN", 2, 0), ("TEA", 1, 9)]
    {
        inventory.receive(sku, pieces.max(1)).await;
        if pieces == 0 {
            inventory.adjust(adjustment(sku, -1, AdjustmentReason::Damaged)).await.unwrap();
        }
        inventory.watch(threshold(sku, low)).await.unwrap();
    }

    let mut request = ListStockRequest { page_size: 2, low_only: true, ..Default::default() };
    let first = inventory.client.clone().list_stock(request.clone()).await.unwrap().into_inner();
    request.page_token = first.next_page_token.clone();
    let second = inventory.client.clone().list_stock(request.clone()).await.unwrap().into_inner();

    let names = |stock: &[shop::inventory::v1::Stock]| -> Vec<String> {
        stock.iter().map(|stock| stock.sku.clone()).collect()
    };
    assert_eq!(names(&first.stock), ["CUP", "MUG"]);
    assert_eq!(names(&second.stock), ["TEA"]);
    assert_eq!(second.next_page_token, "");
    request.low_only = false;
    let other = inventory.client.clone().list_stock(request).await.unwrap_err();
    assert_eq!(mesh_rpc::reason(&other).as_deref(), Some("PAGE_TOKEN_MALFORMED"));
    inventory.end().await;
}

#[tokio::test]
async fn movements_are_listed_from_either_end_while_pieces_move() {
    let inventory = Inventory::start().await;
    inventory.receive("CUP", 50).await;
    inventory.receive("MUG", 50).await;
    for _ in 0..9 {
        let made = inventory.reserve(order(&[("CUP", 1), ("MUG", 2)])).await.unwrap();
        inventory.commit(&made.reservation_id).await.unwrap();
    }
    let of_mug = |oldest_first| ListMovementsRequest {
        sku: "MUG".to_owned(),
        oldest_first,
        page_size: 3,
        ..ListMovementsRequest::default()
    };

    let newest = paged(&inventory, of_mug(false)).await;
    let oldest = paged(&inventory, of_mug(true)).await;

    // A delivery and nine times two; then what moved while the pages were read.
    assert_eq!(newest.len(), 19);
    assert!(newest.is_sorted_by(|a, b| a.movement_id > b.movement_id));
    assert!(oldest.len() > 19 && oldest.is_sorted_by(|a, b| a.movement_id < b.movement_id));
    let backwards: Vec<_> = newest.into_iter().rev().collect();
    assert_eq!(backwards[..], oldest[..19]);
    assert!(oldest.iter().all(|movement| movement.sku == "MUG"));
    let delivery = &oldest[0];
    assert_eq!((delivery.from(), delivery.to()), (StockPlace::Supplier, StockPlace::OnHand));
    assert!(Uuid::try_parse(&delivery.delivery_id).is_ok());
    assert_eq!((delivery.reservation_id.as_str(), delivery.order_id.as_str()), ("", ""));
    assert!(delivery.create_time.is_some());
    inventory.end().await;
}

#[tokio::test]
async fn movements_of_an_order_are_its_own() {
    let inventory = Inventory::start().await;
    inventory.receive("CUP", 50).await;
    inventory.receive("MUG", 50).await;
    let made = inventory.reserve(order(&[("CUP", 1), ("MUG", 2)])).await.unwrap();
    inventory.reserve(order(&[("CUP", 1)])).await.unwrap();
    inventory.commit(&made.reservation_id).await.unwrap();
    inventory.restock(&made.reservation_id).await.unwrap();
    let of = |sku: &str| ListMovementsRequest {
        sku: sku.to_owned(),
        order_id: made.order_id.clone(),
        oldest_first: true,
        page_size: 4,
        ..ListMovementsRequest::default()
    };

    let all = paged(&inventory, of("")).await;
    let mugs = paged(&inventory, of("MUG")).await;
    let none = paged(&inventory, of("NEVER-SEEN")).await;

    assert_eq!(all.len(), 6);
    assert!(all.iter().all(|movement| movement.order_id == made.order_id
        && movement.reservation_id == made.reservation_id));
    use StockPlace::{Committed, OnHand, Reserved};
    let ways: Vec<_> = mugs.iter().map(|movement| (movement.from(), movement.to())).collect();
    assert_eq!(ways, [(OnHand, Reserved), (Reserved, Committed), (Committed, OnHand)]);
    assert!(mugs.iter().all(|movement| movement.quantity == 2));
    assert!(none.is_empty());
    inventory.end().await;
}

/// All that a list has, page by page, while pieces move between any two pages of the first ten.
async fn paged(inventory: &Inventory, mut request: ListMovementsRequest) -> Vec<StockMovement> {
    let mut listed = Vec::new();
    for page in 0.. {
        let answer = inventory.client.clone().list_movements(request.clone()).await;
        let answer = answer.unwrap().into_inner();
        listed.extend(answer.movements);
        if answer.next_page_token.is_empty() {
            return listed;
        }
        request.page_token = answer.next_page_token;
        if page < 10 {
            inventory.reserve(order(&[("MUG", 1)])).await.unwrap();
        }
    }
    unreachable!("a list ends")
}
