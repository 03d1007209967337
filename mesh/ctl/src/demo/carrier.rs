//! The carrier: takes parcels of confirmed orders along, and delivers some of them.

use std::sync::atomic::AtomicU64;

use shop::shipping::v1::{ListShipmentsRequest, RecordCarrierUpdateRequest, ShipmentState};
use tokio::time::Instant;
use uuid::Uuid;

use super::PATIENCE;
use crate::doors::{Clients, answer};
use crate::persist::{Backoff, GaveUp, Persistence};

/// The most parcels of one round, so that nobody waits long for it after many orders.
const VAN: usize = 100;

/// A carrier who comes by once.
pub(super) struct Carrier<'a> {
    pub clients: &'a Clients,
    /// When the carrier drives off, whatever is still to be fetched.
    pub until: Instant,
    /// Counts the calls that were made again.
    pub retried: &'a AtomicU64,
}

/// What became of the parcels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Round {
    /// Parcels that have left.
    pub shipped: u64,
    /// Those of them that have arrived.
    pub delivered: u64,
}

impl Carrier<'_> {
    /// Takes along what may leave of these orders, and delivers every second parcel. What cannot
    /// be had stays where it is: a demo is about orders.
    pub async fn drive(&self, orders: &[String]) -> Round {
        let mut round = Round::default();
        for (n, order) in orders.iter().take(VAN).enumerate() {
            let parcel = self.parcel(order, n % 2 == 1).await;
            round.shipped += parcel.shipped;
            round.delivered += parcel.delivered;
        }
        round
    }

    async fn parcel(&self, order: &str, deliver: bool) -> Round {
        let mut round = Round::default();
        let Ok(Some(shipment)) = self.released(order).await else { return round };
        if self.report(&shipment, ShipmentState::Dispatched).await.is_ok() {
            round.shipped = 1;
            if deliver && self.report(&shipment, ShipmentState::Delivered).await.is_ok() {
                round.delivered = 1;
            }
        }
        round
    }

    /// The order's parcel, once it may leave; none if it never may. An order is confirmed a moment
    /// before its parcel is released.
    async fn released(&self, order: &str) -> Result<Option<String>, GaveUp> {
        let persistence = self.persistence();
        let mut backoff = Backoff::new();
        loop {
            let request = ListShipmentsRequest {
                order_id: order.to_owned(),
                ..ListShipmentsRequest::default()
            };
            let listed = persistence.call("ListShipments", &request, |request| {
                let mut shipping = self.clients.shipping.clone();
                async move { answer(shipping.list_shipments(request).await) }
            });
            match listed.await?.shipments.pop() {
                Some(parcel) if parcel.state() == ShipmentState::Released => {
                    return Ok(Some(parcel.shipment_id));
                }
                Some(parcel)
                    if parcel.state() == ShipmentState::Held && Instant::now() < self.until =>
                {
                    backoff.pause(self.until).await;
                }
                _ => return Ok(None),
            }
        }
    }

    async fn report(&self, shipment: &str, state: ShipmentState) -> Result<(), GaveUp> {
        let request = RecordCarrierUpdateRequest {
            request_id: Uuid::now_v7().to_string(),
            shipment_id: shipment.to_owned(),
            state: state.into(),
        };
        let persistence = self.persistence();
        let recorded = persistence.call("RecordCarrierUpdate", &request, |request| {
            let mut shipping = self.clients.shipping.clone();
            async move { answer(shipping.record_carrier_update(request).await) }
        });
        recorded.await.map(|_| ())
    }

    fn persistence(&self) -> Persistence<'_> {
        Persistence { until: self.until, patience: PATIENCE, retried: self.retried }
    }
}
