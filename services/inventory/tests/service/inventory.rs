//! One inventory of a test's own: its database, its replicas, and what tests ask of them.

use ::inventory::{Config, MIGRATIONS, start};
use mesh_runtime::{Service, ServiceConfig};
use mesh_testkit::{Database, eventually};
use shop::inventory::v1::{
    AdjustStockRequest, AdjustmentReason, CommitReservationRequest, GetReservationRequest,
    GetStockRequest, ReceiveStockRequest, ReleaseReservationRequest, Reservation, ReservationLine,
    ReserveStockRequest, RestockReservationRequest, SetLowStockThresholdRequest,
    SetLowStockThresholdResponse, ShipReservationRequest, Stock,
    inventory_service_client::InventoryServiceClient,
};
use sqlx::PgPool;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// Nobody listens there: a service without its broker goes on answering.
const NO_BROKER: &str = "nats://127.0.0.1:9";

pub type Client = InventoryServiceClient<Channel>;

pub struct Inventory {
    pub client: Client,
    pub pool: PgPool,
    database: Database,
    service: Service,
}

impl Inventory {
    /// An empty inventory without a broker.
    pub async fn start() -> Self {
        Self::with_broker(NO_BROKER).await
    }

    /// An empty inventory.
    pub async fn with_broker(nats: &str) -> Self {
        let database = Database::empty("inventory", &MIGRATIONS).await;
        let pool = database.pool().await;
        let (service, client) = replica(&database, nats).await;
        Self { client, pool, database, service }
    }

    /// Another replica on the same database.
    pub async fn replica(&self) -> (Service, Client) {
        replica(&self.database, NO_BROKER).await
    }

    pub async fn receive(&self, sku: &str, quantity: i64) -> Stock {
        let request_id = Uuid::now_v7().to_string();
        let request = ReceiveStockRequest { request_id, sku: sku.to_owned(), quantity };
        let answer = self.client.clone().receive_stock(request).await.unwrap();
        answer.into_inner().stock.unwrap()
    }

    pub async fn stock(&self, sku: &str) -> Stock {
        let request = GetStockRequest { sku: sku.to_owned() };
        self.client.clone().get_stock(request).await.unwrap().into_inner().stock.unwrap()
    }

    pub async fn adjust(&self, request: AdjustStockRequest) -> Result<Stock, Status> {
        let answer = self.client.clone().adjust_stock(request).await?;
        Ok(answer.into_inner().stock.unwrap())
    }

    pub async fn watch(
        &self,
        request: SetLowStockThresholdRequest,
    ) -> Result<SetLowStockThresholdResponse, Status> {
        let answer = self.client.clone().set_low_stock_threshold(request).await?;
        Ok(answer.into_inner())
    }

    pub async fn reservation(&self, id: &str) -> Reservation {
        let request = GetReservationRequest { reservation_id: id.to_owned() };
        let answer = self.client.clone().get_reservation(request).await.unwrap();
        answer.into_inner().reservation.unwrap()
    }

    pub async fn reserve(&self, request: ReserveStockRequest) -> Result<Reservation, Status> {
        let answer = self.client.clone().reserve_stock(request).await?;
        Ok(answer.into_inner().reservation.unwrap())
    }

    pub async fn commit(&self, reservation_id: &str) -> Result<Reservation, Status> {
        self.commit_as(&Uuid::now_v7().to_string(), reservation_id).await
    }

    pub async fn commit_as(
        &self,
        request_id: &str,
        reservation_id: &str,
    ) -> Result<Reservation, Status> {
        let (request_id, reservation_id) = (request_id.to_owned(), reservation_id.to_owned());
        let request = CommitReservationRequest { request_id, reservation_id };
        let answer = self.client.clone().commit_reservation(request).await?;
        Ok(answer.into_inner().reservation.unwrap())
    }

    pub async fn release(&self, reservation_id: &str) -> Result<Reservation, Status> {
        let (request_id, reservation_id) = (Uuid::now_v7().to_string(), reservation_id.to_owned());
        let request = ReleaseReservationRequest { request_id, reservation_id };
        let answer = self.client.clone().release_reservation(request).await?;
        Ok(answer.into_inner().reservation.unwrap())
    }

    pub async fn restock(&self, reservation_id: &str) -> Result<Reservation, Status> {
        let (request_id, reservation_id) = (Uuid::now_v7().to_string(), reservation_id.to_owned());
        let request = RestockReservationRequest { request_id, reservation_id };
        let answer = self.client.clone().restock_reservation(request).await?;
        Ok(answer.into_inner().reservation.unwrap())
    }

    pub async fn ship(&self, reservation_id: &str) -> Result<Reservation, Status> {
        let (request_id, reservation_id) = (Uuid::now_v7().to_string(), reservation_id.to_owned());
        let request = ShipReservationRequest { request_id, reservation_id };
        let answer = self.client.clone().ship_reservation(request).await?;
        Ok(answer.into_inner().reservation.unwrap())
    }

    /// The events of a reservation, oldest first, without their package.
    pub async fn told(&self, reservation_id: &str) -> Vec<String> {
        let id: Uuid = reservation_id.parse().unwrap();
        sqlx::query_scalar(
            "SELECT replace(type, 'shop.inventory.v1.', '') FROM log
             WHERE key = $1 AND public ORDER BY version",
        )
        .bind(id)
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// What was told about a SKU's stock, oldest first, without its package, and its bodies.
    pub async fn news(&self, sku: &str) -> Vec<(String, Vec<u8>)> {
        let name = format!("shop.inventory.v1.Stock/{sku}");
        sqlx::query_as(
            "SELECT replace(type, 'shop.inventory.v1.', ''), body FROM log
             WHERE key = $1 AND public ORDER BY version",
        )
        .bind(Uuid::new_v5(&Uuid::nil(), name.as_bytes()))
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// The same, without the bodies.
    pub async fn news_names(&self, sku: &str) -> Vec<String> {
        self.news(sku).await.into_iter().map(|(name, _)| name).collect()
    }

    /// How many of the replicas' transactions wait for another one.
    pub async fn waiting(&self) -> i64 {
        sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    /// Makes calls to two replicas while nobody gets at the shelf, until a batch of each has come
    /// for it.
    pub async fn all_at_once<T>(&self, calls: impl Future<Output = T>) -> T {
        let mut shelf = self.pool.begin().await.unwrap();
        sqlx::query("SELECT FROM stock FOR UPDATE").execute(&mut *shelf).await.unwrap();
        let open = async {
            eventually("both replicas wait", async || self.waiting().await == 2).await;
            shelf.rollback().await.unwrap();
        };
        tokio::join!(calls, open).0
    }

    /// How many rows all the tables together have.
    pub async fn rows(&self) -> i64 {
        sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM stock) + (SELECT count(*) FROM reservations)
                  + (SELECT count(*) FROM deliveries) + (SELECT count(*) FROM adjustments)
                  + (SELECT count(*) FROM movements)
                  + (SELECT count(*) FROM log) + (SELECT count(*) FROM requests)",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    /// Ends the inventory, and checks that no piece was made or lost on the way.
    pub async fn end(self) {
        self.service.stop();
        self.service.finish().await;
        for (what, check) in [
            ("unbalanced", "SELECT sku FROM audit_stock GROUP BY sku HAVING sum(quantity) <> 0"),
            (
                "not as moved",
                "SELECT sku FROM (TABLE audit_stock EXCEPT TABLE audit_movements) AS s
                 UNION SELECT sku FROM (TABLE audit_movements EXCEPT TABLE audit_stock) AS m",
            ),
            (
                "not as reserved",
                "SELECT sku FROM audit_stock AS s
                 WHERE bucket NOT IN ('supplier', 'on_hand') AND quantity <>
                       (SELECT coalesce(sum(r.quantity), 0) FROM audit_reservations AS r
                        WHERE r.sku = s.sku AND r.bucket = s.bucket)
                     + (SELECT coalesce(sum(w.quantity), 0) FROM audit_write_offs AS w
                        WHERE w.sku = s.sku AND s.bucket = 'lost')",
            ),
            (
                "untold of the shelf",
                "SELECT 'all' WHERE (SELECT sum(told) FROM stock) <>
                        (SELECT count(*) FROM log WHERE public AND type IN (
                             'shop.inventory.v1.StockAdjusted', 'shop.inventory.v1.StockLow',
                             'shop.inventory.v1.StockDepleted'))",
            ),
            ("kept free", "SELECT id::text FROM reservations WHERE version = 0"),
            (
                "untold",
                "SELECT r.id::text FROM reservations AS r WHERE order_id IS NOT NULL AND version <>
                        (SELECT count(*) FROM log WHERE key = r.id AND public)",
            ),
        ] {
            let rows: Vec<String> = sqlx::query_scalar(check).fetch_all(&self.pool).await.unwrap();
            assert!(rows.is_empty(), "{what}: {rows:?}");
        }
    }
}

/// A request for one piece each of a new order.
pub fn order(lines: &[(&str, i64)]) -> ReserveStockRequest {
    let line = |(sku, quantity): &(&str, i64)| ReservationLine {
        sku: (*sku).to_owned(),
        quantity: *quantity,
    };
    ReserveStockRequest {
        request_id: Uuid::now_v7().to_string(),
        order_id: Uuid::now_v7().to_string(),
        lines: lines.iter().map(line).collect(),
        hold: None,
    }
}

/// A correction of the books.
pub fn adjustment(sku: &str, quantity: i64, reason: AdjustmentReason) -> AdjustStockRequest {
    AdjustStockRequest {
        request_id: Uuid::now_v7().to_string(),
        sku: sku.to_owned(),
        quantity,
        reason: reason.into(),
        note: "as seen on the shelf".to_owned(),
    }
}

/// A threshold for a SKU, whatever it was.
pub fn threshold(sku: &str, low_stock_threshold: i64) -> SetLowStockThresholdRequest {
    SetLowStockThresholdRequest {
        request_id: Uuid::now_v7().to_string(),
        sku: sku.to_owned(),
        low_stock_threshold,
        etag: String::new(),
    }
}

/// The field that a refusal blames.
pub fn blamed<T: std::fmt::Debug>(answer: Result<T, Status>) -> String {
    let status = answer.unwrap_err();
    let details = status.get_details_bad_request().unwrap_or_else(|| panic!("{status:?}"));
    assert_eq!(details.field_violations.len(), 1, "{status:?}");
    assert!(!details.field_violations[0].description.is_empty(), "{status:?}");
    details.field_violations[0].field.clone()
}

/// The code, reason and SKU that a refusal names.
pub fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String, Option<String>) {
    let status = answer.unwrap_err();
    let reason = mesh_rpc::reason(&status).unwrap_or_else(|| panic!("no reason in {status:?}"));
    (status.code(), reason, mesh_rpc::error_metadata(&status, "sku"))
}

/// What a refusal for a broken rule looks like.
pub fn broken_rule(reason: &str) -> (Code, String, Option<String>) {
    (Code::FailedPrecondition, reason.to_owned(), None)
}

async fn replica(database: &Database, nats: &str) -> (Service, Client) {
    let service = ServiceConfig {
        database_url: Some(database.url().parse().unwrap()),
        nats_url: Some(nats.parse().unwrap()),
        log_level: "error".to_owned(),
        ..ServiceConfig::default()
    };
    let started = start(Config { service }).await.unwrap();
    let address = Endpoint::from_shared(format!("http://{}", started.grpc)).unwrap();
    (started.service, Client::new(address.connect_lazy()))
}
