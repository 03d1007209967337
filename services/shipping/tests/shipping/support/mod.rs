//! The shipping service in this process, on an empty database of its own.
//!
//! No broker answers it. What it tells others is in its log, and the relay is proven elsewhere.

use std::sync::Arc;

use mesh_rpc::{Channel, Discovery};
use mesh_runtime::{Secret, Service, ServiceConfig};
use mesh_testkit::Database;
use shop::{
    common::v1::Address,
    shipping::v1::{
        CancelShipmentRequest, CreateShipmentRequest, GetShipmentRequest,
        RecordCarrierUpdateRequest, ReleaseShipmentRequest, Shipment, ShipmentState,
        shipping_service_client::ShippingServiceClient,
    },
};
use sqlx::{AssertSqlSafe, PgPool};
use tonic::Status;
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// A running service, its client, and a look into its tables.
pub struct Shipping {
    client: ShippingServiceClient<Channel>,
    pool: PgPool,
    service: Service,
    database: Arc<Database>,
}

impl Shipping {
    pub async fn start() -> Self {
        let database = Database::empty("shipping", &shipping::MIGRATIONS).await;
        Self::start_on(Arc::new(database)).await
    }

    /// One more replica, on the same database.
    pub async fn another(&self) -> Self {
        Self::start_on(Arc::clone(&self.database)).await
    }

    async fn start_on(database: Arc<Database>) -> Self {
        let secret = |url: &str| url.parse::<Secret>().ok();
        let service = ServiceConfig {
            database_url: secret(database.url()),
            nats_url: secret("nats://127.0.0.1:9"),
            log_level: "off".to_owned(),
            ..ServiceConfig::default()
        };
        let started = shipping::start(shipping::Config { service }).await.unwrap();
        let place = format!("shipping=static:{}", started.grpc).parse::<Discovery>().unwrap();
        let channel = place.channel(&started.service, "shipping").unwrap();
        let client = ShippingServiceClient::new(channel);
        let pool = database.pool().await;
        Self { client, pool, service: started.service, database }
    }

    pub fn client(&self) -> ShippingServiceClient<Channel> {
        self.client.clone()
    }

    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Begins the service's end.
    pub fn stop(&self) {
        self.service.stop();
    }

    pub async fn create(&self, request: CreateShipmentRequest) -> Result<Shipment, Status> {
        let answer = self.client.clone().create_shipment(request).await?;
        Ok(answer.into_inner().shipment.unwrap())
    }

    pub async fn release(&self, request: ReleaseShipmentRequest) -> Result<Shipment, Status> {
        let answer = self.client.clone().release_shipment(request).await?;
        Ok(answer.into_inner().shipment.unwrap())
    }

    pub async fn cancel(&self, request: CancelShipmentRequest) -> Result<Shipment, Status> {
        let answer = self.client.clone().cancel_shipment(request).await?;
        Ok(answer.into_inner().shipment.unwrap())
    }

    pub async fn report(&self, request: RecordCarrierUpdateRequest) -> Result<Shipment, Status> {
        let answer = self.client.clone().record_carrier_update(request).await?;
        Ok(answer.into_inner().shipment.unwrap())
    }

    pub async fn get(&self, id: &str) -> Result<Shipment, Status> {
        let request = GetShipmentRequest { shipment_id: id.to_owned() };
        let answer = self.client.clone().get_shipment(request).await?;
        Ok(answer.into_inner().shipment.unwrap())
    }

    /// The id of a new shipment that is HELD.
    pub async fn held(&self) -> String {
        self.create(create()).await.unwrap().shipment_id
    }

    /// The id of a new shipment that is RELEASED.
    pub async fn released(&self) -> String {
        let id = self.held().await;
        self.release(release(&id)).await.unwrap();
        id
    }

    /// The id of a new shipment that is DISPATCHED.
    pub async fn dispatched(&self) -> String {
        let id = self.released().await;
        self.report(report(&id, ShipmentState::Dispatched)).await.unwrap();
        id
    }

    /// What others are told of a shipment, by the short names of the events, in their order.
    pub async fn events(&self, id: &str) -> Vec<String> {
        let told: Vec<(i32, String)> = sqlx::query_as(
            "SELECT version, replace(type, 'shop.shipping.v1.', '')
             FROM log WHERE key = $1 AND public ORDER BY seq",
        )
        .bind(id.parse::<Uuid>().unwrap())
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let versions: Vec<_> = told.iter().map(|(version, _)| *version).collect();
        assert!(versions.iter().copied().eq((1..).take(versions.len())), "{versions:?}");
        told.into_iter().map(|(_, name)| name).collect()
    }

    pub async fn addresses(&self) -> i64 {
        self.rows("shipment_addresses").await
    }

    pub async fn rows(&self, table: &str) -> i64 {
        let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(count).fetch_one(&self.pool).await.unwrap()
    }
}

impl Drop for Shipping {
    fn drop(&mut self) {
        self.service.stop();
    }
}

pub fn create() -> CreateShipmentRequest {
    CreateShipmentRequest {
        request_id: Uuid::now_v7().to_string(),
        order_id: Uuid::now_v7().to_string(),
        address: Some(address()),
        ..CreateShipmentRequest::default()
    }
}

pub fn release(shipment_id: &str) -> ReleaseShipmentRequest {
    ReleaseShipmentRequest { request_id: request_id(), shipment_id: shipment_id.to_owned() }
}

pub fn cancel(shipment_id: &str) -> CancelShipmentRequest {
    CancelShipmentRequest { request_id: request_id(), shipment_id: shipment_id.to_owned() }
}

pub fn report(shipment_id: &str, state: ShipmentState) -> RecordCarrierUpdateRequest {
    let shipment_id = shipment_id.to_owned();
    RecordCarrierUpdateRequest { request_id: request_id(), shipment_id, state: state.into() }
}

pub fn address() -> Address {
    Address {
        recipient: "Ada Lovelace".into(),
        lines: vec!["Rue des Analystes 12".into()],
        city: "Brussels".into(),
        postal_code: "1000".into(),
        country_code: "BE".into(),
    }
}

pub fn reason(status: &Status) -> String {
    mesh_rpc::reason(status).unwrap_or_default()
}

/// The fields that the status blames.
pub fn fields(status: &Status) -> Vec<String> {
    let blamed = status.get_details_bad_request().map(|bad| bad.field_violations);
    blamed.unwrap_or_default().into_iter().map(|violation| violation.field).collect()
}

fn request_id() -> String {
    Uuid::now_v7().to_string()
}
