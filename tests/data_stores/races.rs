//! Two replicas decide about the same thing at the same moment.
//!
//! "The same moment" is made by a lock that the test holds: both replicas have looked, found nothing,
//! and wait to write when it lets go.

use mesh_rpc::reason;
use mesh_testkit::{Platform, PlatformOptions, eventually};
use shop::{
    inventory::v1::{
        CommitReservationRequest, GetStockRequest, ReceiveStockRequest, ReservationLine,
        ReservationState, ReserveStockRequest, inventory_service_client::InventoryServiceClient,
    },
    orders::v1::orders_service_client::OrdersServiceClient,
};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use tonic::{Code, Status};

use super::{blocked, connect, signed};
use crate::{
    callers,
    shop::{GOOD_CARD, Shop, address, uuid},
};

/// A table that nobody can write to until the test lets go.
struct Barrier {
    holder: PgConnection,
    watcher: PgPool,
}

impl Barrier {
    async fn at(url: &str, table: &str) -> Self {
        let mut holder = connect(url).await;
        let hold = format!("BEGIN; LOCK TABLE {table} IN SHARE MODE");
        sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut holder).await.unwrap();
        Self { holder, watcher: PgPool::connect(url).await.unwrap() }
    }

    /// Opens once so many sessions have come.
    async fn open_for(mut self, sessions: i64) {
        blocked(&self.watcher, sessions).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut self.holder).await.unwrap();
    }
}

/// Two replicas of the stock keeper, alone.
struct Stock {
    platform: Platform,
    replicas: [InventoryServiceClient<callers::Channel>; 2],
}

impl Stock {
    async fn open() -> Self {
        let options = PlatformOptions::new(&["inventory"]).replicas("inventory", 2);
        let platform = Platform::start(options).await;
        let replica = |n| signed(&platform, "inventory", platform.replica("inventory", n).grpc());
        let replicas = [0, 1].map(|n| InventoryServiceClient::new(replica(n)));
        Self { platform, replicas }
    }

    async fn receive(&self, sku: &str) {
        let sku = sku.to_owned();
        let request = ReceiveStockRequest { request_id: uuid(), sku, quantity: 100 };
        self.replicas[0].clone().receive_stock(request).await.unwrap();
    }

    async fn reserve(
        &self,
        replica: usize,
        request: ReserveStockRequest,
    ) -> Result<String, Status> {
        let answer = self.replicas[replica].clone().reserve_stock(request).await?;
        Ok(answer.into_inner().reservation.unwrap().reservation_id)
    }

    async fn commit(
        &self,
        replica: usize,
        request: CommitReservationRequest,
    ) -> Result<String, Status> {
        let answer = self.replicas[replica].clone().commit_reservation(request).await?;
        let reservation = answer.into_inner().reservation.unwrap();
        assert_eq!(reservation.state(), ReservationState::Committed);
        Ok(reservation.reservation_id)
    }

    /// Pieces on hand, reserved and committed.
    async fn pieces(&self, sku: &str) -> (i64, i64, i64) {
        let request = GetStockRequest { sku: sku.to_owned() };
        let stock = self.replicas[1].clone().get_stock(request).await.unwrap().into_inner();
        let stock = stock.stock.unwrap();
        (stock.on_hand, stock.reserved, stock.committed)
    }
}

fn reservation(request_id: &str, sku: &str, quantity: i64) -> ReserveStockRequest {
    ReserveStockRequest {
        request_id: request_id.to_owned(),
        order_id: uuid(),
        lines: vec![ReservationLine { sku: sku.to_owned(), quantity }],
        hold: None,
    }
}

/// One of two has it; the other is told, clearly, that it was too late.
fn one_winner<T>(answers: (Result<T, Status>, Result<T, Status>), loser: (Code, &str)) -> T {
    let (winner, status) = match answers {
        (Ok(winner), Err(status)) | (Err(status), Ok(winner)) => (winner, status),
        (Ok(_), Ok(_)) => panic!("both were told that they have it"),
        (Err(one), Err(other)) => panic!("nobody has it: {one:?}, {other:?}"),
    };
    assert_eq!((status.code(), reason(&status).as_deref()), (loser.0, Some(loser.1)), "{status:?}");
    winner
}

const CONTENT_DIFFERS: (Code, &str) = (Code::FailedPrecondition, "REQUEST_CONTENT_DIFFERS");

#[tokio::test(flavor = "multi_thread")]
async fn one_request_id_for_two_reservations_at_once_makes_one_of_them() {
    let stock = Stock::open().await;
    stock.receive("MUG").await;
    let barrier = Barrier::at(&stock.platform.superuser_url("inventory"), "reservations").await;
    let id = uuid();

    let (one, other, ()) = tokio::join!(
        stock.reserve(0, reservation(&id, "MUG", 2)),
        stock.reserve(1, reservation(&id, "MUG", 3)),
        barrier.open_for(2),
    );

    let quantity = if one.is_ok() { 2 } else { 3 };
    assert_eq!(one_winner((one, other), CONTENT_DIFFERS), id);
    assert_eq!(stock.pieces("MUG").await, (100 - quantity, quantity, 0));
    stock.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_reservation_at_both_replicas_at_once_is_made_once() {
    let stock = Stock::open().await;
    stock.receive("MUG").await;
    let barrier = Barrier::at(&stock.platform.superuser_url("inventory"), "reservations").await;
    let request = reservation(&uuid(), "MUG", 2);

    let (one, other, ()) = tokio::join!(
        stock.reserve(0, request.clone()),
        stock.reserve(1, request.clone()),
        barrier.open_for(2),
    );

    assert_eq!((one.unwrap(), other.unwrap()), (request.request_id.clone(), request.request_id));
    assert_eq!(stock.pieces("MUG").await, (98, 2, 0));
    stock.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_id_for_two_sales_at_once_makes_one_of_them() {
    let stock = Stock::open().await;
    stock.receive("MUG").await;
    let first = stock.reserve(0, reservation(&uuid(), "MUG", 2)).await.unwrap();
    let second = stock.reserve(1, reservation(&uuid(), "MUG", 3)).await.unwrap();
    // Both look the key up before they come here, and neither finds it.
    let barrier = Barrier::at(&stock.platform.superuser_url("inventory"), "requests").await;
    let request_id = uuid();
    let sale = |reservation: &String| CommitReservationRequest {
        request_id: request_id.clone(),
        reservation_id: reservation.clone(),
    };

    let (one, other, ()) = tokio::join!(
        stock.commit(0, sale(&first)),
        stock.commit(1, sale(&second)),
        barrier.open_for(2),
    );

    let sold = if one_winner((one, other), CONTENT_DIFFERS) == first { 2 } else { 3 };
    assert_eq!(stock.pieces("MUG").await, (95, 5 - sold, sold));
    stock.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_that_a_service_loses_is_tried_again_inside() {
    let stock = Stock::open().await;
    stock.receive("CUP").await;
    stock.receive("MUG").await;
    let url = stock.platform.superuser_url("inventory");
    let watcher = PgPool::connect(&url).await.unwrap();
    let deadlocks = async || -> i64 {
        let count = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        sqlx::query_scalar(count).fetch_one(&watcher).await.unwrap()
    };
    let before = deadlocks().await;
    let mut rival = connect(&url).await;
    let lock = "SELECT FROM stock WHERE sku = $1 FOR UPDATE";
    // The service notices first: it is the one that has to give way.
    sqlx::raw_sql("SET deadlock_timeout = '1h'; BEGIN").execute(&mut rival).await.unwrap();
    sqlx::query(lock).bind("MUG").execute(&mut rival).await.unwrap();
    let mut request = reservation(&uuid(), "CUP", 1);
    request.lines.push(ReservationLine { sku: "MUG".to_owned(), quantity: 1 });

    let (answer, ()) = tokio::join!(stock.reserve(0, request), async {
        blocked(&watcher, 1).await;
        // Returns only when the service's transaction was rolled back.
        sqlx::query(lock).bind("CUP").execute(&mut rival).await.unwrap();
        blocked(&watcher, 1).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut rival).await.unwrap();
    });

    answer.unwrap();
    eventually("the deadlock to be counted", async || deadlocks().await > before).await;
    assert_eq!(stock.pieces("CUP").await, (99, 1, 0));
    assert_eq!(stock.pieces("MUG").await, (99, 1, 0));
    stock.platform.shutdown().await;
}

/// Places at both replicas of orders at once.
async fn place_at_both(
    shop: &Shop,
    requests: [shop::orders::v1::PlaceOrderRequest; 2],
) -> (Result<String, Status>, Result<String, Status>) {
    let barrier = Barrier::at(&shop.platform.superuser_url("orders"), "streams").await;
    let [one, other] = requests;
    let place = async |replica, request| {
        let channel =
            signed(&shop.platform, "orders", shop.platform.replica("orders", replica).grpc());
        let answer = OrdersServiceClient::new(channel).place_order(request).await?;
        Ok(answer.into_inner().order.unwrap().order_id)
    };
    let (one, other, ()) = tokio::join!(place(0, one), place(1, other), barrier.open_for(2));
    (one, other)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_cart_ordered_twice_at_once_at_two_replicas_makes_one_order() {
    let shop = Shop::open_with(|options| options.replicas("orders", 2)).await;
    let sku = shop.stocked(10).await;

    // Two orders of one cart: the slower one finds that the cart was taken.
    let first = shop.order_of(&sku, 1, GOOD_CARD).await;
    let second = shop::orders::v1::PlaceOrderRequest { request_id: uuid(), ..first.clone() };
    let answers = place_at_both(&shop, [first, second]).await;
    let mut orders = vec![one_winner(answers, (Code::Aborted, "CART_CHANGED"))];

    // One request_id with two contents: the slower one is told that it is another's.
    let here = shop.order_of(&sku, 1, GOOD_CARD).await;
    let mut there = here.clone();
    there.address = Some(address("FR"));
    let answers = place_at_both(&shop, [here, there]).await;
    orders.push(one_winner(answers, CONTENT_DIFFERS));

    // The same request twice: the same answer twice.
    let request = shop.order_of(&sku, 1, GOOD_CARD).await;
    let (one, other) = place_at_both(&shop, [request.clone(), request]).await;
    let one = one.unwrap();
    assert_eq!(one, other.unwrap());
    orders.push(one);

    for order in orders {
        shop.comes_to(&order, shop::orders::v1::OrderState::Confirmed).await;
        shop.rests(&order).await;
    }
    let stock = shop.stock(&sku).await;
    assert_eq!((stock.on_hand, stock.reserved, stock.committed), (7, 0, 3));
    shop.platform.shutdown().await;
}
