//! Many buyers at once.

use futures::future::join_all;
use shop::inventory::v1::ReservationState;
use tonic::Code;

use crate::inventory::{Inventory, order, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_orders_for_a_hundred_pieces_get_exactly_a_hundred() {
    let inventory = Inventory::start().await;
    let (_other, second) = inventory.replica().await;
    inventory.receive("MUG", 100).await;

    let buy = |n: usize| {
        let mut client =
            if n.is_multiple_of(2) { inventory.client.clone() } else { second.clone() };
        async move { client.reserve_stock(order(&[("MUG", 1)])).await }
    };
    let answers = inventory.all_at_once(join_all((0..200).map(buy))).await;

    let (sold, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((sold.len(), refused.len()), (100, 100));
    for answer in refused {
        let out = (Code::FailedPrecondition, "OUT_OF_STOCK".to_owned(), Some("MUG".to_owned()));
        assert_eq!(refusal(answer), out);
    }
    let stock = inventory.stock("MUG").await;
    assert_eq!((stock.on_hand, stock.reserved, stock.received), (0, 100, 100));
    inventory.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_that_share_skus_in_any_order_all_come_through() {
    const SKUS: [&str; 5] = ["CUP", "JAR", "MUG", "PAN", "TEA"];
    let inventory = Inventory::start().await;
    let (_other, second) = inventory.replica().await;
    for sku in SKUS {
        inventory.receive(sku, 60).await;
    }

    // Each takes three SKUs, beginning elsewhere, on one replica or the other.
    let buy = |n: usize| {
        let client = if n.is_multiple_of(2) { inventory.client.clone() } else { second.clone() };
        let lines = [2, 0, 1].map(|k| (SKUS[(n + k) % SKUS.len()], 1));
        let inventory = &inventory;
        async move {
            let mut client = client;
            let made = client.reserve_stock(order(&lines)).await.unwrap().into_inner();
            let id = made.reservation.unwrap().reservation_id;
            match n % 3 {
                0 => inventory.release(&id).await.unwrap(),
                1 => inventory.restock(&id).await.unwrap(),
                _ => inventory.commit(&id).await.unwrap(),
            }
        }
    };
    let ends = join_all((0..90).map(buy)).await;

    let committed = |end: &&_| state_of(end) == ReservationState::Committed;
    assert_eq!(ends.iter().filter(committed).count(), 30);
    let mut sold = 0;
    for sku in SKUS {
        sold += inventory.stock(sku).await.committed;
    }
    assert_eq!(sold, 90, "thirty orders of three pieces");
    inventory.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_order_is_committed_and_given_up_at_once_and_ends_in_one_of_both() {
    let inventory = Inventory::start().await;
    let (_other, mut second) = inventory.replica().await;
    inventory.receive("MUG", 50).await;

    for _ in 0..25 {
        let request = order(&[("MUG", 2)]);
        let id = request.request_id.clone();
        let (reserved, committed, released) = tokio::join!(
            second.reserve_stock(request),
            inventory.commit(&id),
            inventory.release(&id),
        );

        let end = released.unwrap();
        assert_eq!(state_of(&end), ReservationState::Released);
        for refused in [reserved.err(), committed.err()].into_iter().flatten() {
            let reason = mesh_rpc::reason(&refused).unwrap();
            let expected = ["CANCELLED_BEFORE_ARRIVAL", "RESERVATION_NOT_FOUND"];
            assert!(expected.contains(&reason.as_str()), "{reason}");
        }
    }

    let stock = inventory.stock("MUG").await;
    assert_eq!((stock.on_hand, stock.reserved, stock.committed), (50, 0, 0));
    inventory.end().await;
}

fn state_of(reservation: &shop::inventory::v1::Reservation) -> ReservationState {
    reservation.state()
}
