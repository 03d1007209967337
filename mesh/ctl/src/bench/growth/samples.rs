//! Orders that are placed, paid and delivered through the contracts.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mesh_rpc::timeout_request;
use shop::shipping::v1::shipping_service_client::ShippingServiceClient;
use shop::shipping::v1::{RecordCarrierUpdateRequest, ShipmentState};
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{SAMPLES, Side};
use crate::bench::load::Load;
use crate::bench::{PATIENCE, prepare};

/// More products than the catalog has.
const PRODUCTS: u64 = 100;
/// How long orders may take to come to rest everywhere.
const SETTLING: Duration = Duration::from_secs(60);

/// Places a few orders and follows them until they are delivered, and everybody knows. Also lets
/// suppliers deliver so many pieces of everything that a history of `orders` can be sold from them.
pub async fn place(side: &Side, orders: u64) -> Result<()> {
    // The history sells of a few products only: enough of each for all of it.
    let load = prepare(&side.subject.doors, orders.max(1) * PRODUCTS / SAMPLES as u64).await?;
    confirm(&load).await?;
    deliver(side).await?;
    settled(side).await
}

async fn confirm(load: &Arc<Load>) -> Result<()> {
    load.fill_carts(SAMPLES).await?;
    let mut filled_meanwhile = 0;
    for _ in 0..SAMPLES {
        let ordered = load.order(&mut filled_meanwhile).await;
        ordered.map_err(anyhow::Error::msg).context("an order to begin with failed")?;
    }
    Ok(())
}

/// Lets the carrier report every parcel delivered.
async fn deliver(side: &Side) -> Result<()> {
    let shipments: Vec<Uuid> =
        waited(side, "shipping", SAMPLES, "SELECT id FROM shipments WHERE state = 'RELEASED'")
            .await?;
    let channels = side.subject.doors.caller.channels()?;
    let shipping = ShippingServiceClient::new(channels.to("shipping", &side.shipping)?);
    for shipment in shipments {
        for state in [ShipmentState::Dispatched, ShipmentState::Delivered] {
            let request = RecordCarrierUpdateRequest {
                request_id: Uuid::now_v7().to_string(),
                shipment_id: shipment.to_string(),
                state: state.into(),
            };
            let request = timeout_request(request, PATIENCE);
            shipping.clone().record_carrier_update(request).await?;
        }
    }
    Ok(())
}

/// Waits until every service has heard of the deliveries.
async fn settled(side: &Side) -> Result<()> {
    let orders = "SELECT o.order_id FROM orders o JOIN streams s ON s.id = o.order_id
                  WHERE o.state = 'DELIVERED' AND s.awake_since IS NULL";
    waited(side, "orders", SAMPLES, orders).await?;
    let pieces = "SELECT id FROM reservations WHERE state = 'shipped'";
    waited(side, "inventory", SAMPLES, pieces).await?;
    Ok(())
}

/// Asks for ids until there are so many.
async fn waited(
    side: &Side,
    service: &str,
    count: usize,
    query: &'static str,
) -> Result<Vec<Uuid>> {
    let url = side.databases.get(service).with_context(|| format!("{service} is not up"))?;
    let mut database = PgConnection::connect(url).await?;
    let begun = Instant::now();
    loop {
        let found: Vec<Uuid> = sqlx::query_scalar(query).fetch_all(&mut database).await?;
        if found.len() >= count {
            return Ok(found);
        }
        anyhow::ensure!(
            begun.elapsed() < SETTLING,
            "{service} has {} of {count} after {} s: {query}",
            found.len(),
            SETTLING.as_secs()
        );
        sleep(Duration::from_millis(50)).await;
    }
}
