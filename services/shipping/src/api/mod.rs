//! `shop.shipping.v1.ShippingService`.

mod positions;
mod status;
mod track;

use mesh_log::{Database, Gather, Watchers};
use mesh_rpc::{Invalid, access::only_of};
use shop::shipping::v1::{
    CancelShipmentRequest, CancelShipmentResponse, CreateShipmentRequest, CreateShipmentResponse,
    GetShipmentRequest, GetShipmentResponse, ListShipmentsRequest, ListShipmentsResponse,
    QuoteShippingRequest, QuoteShippingResponse, RecordCarrierUpdateRequest,
    RecordCarrierUpdateResponse, RecordPositionsRequest, RecordPositionsResponse,
    ReleaseShipmentRequest, ReleaseShipmentResponse, Shipment, TrackShipmentRequest,
    TrackShipmentResponse, shipping_service_server::ShippingService,
};
use time::OffsetDateTime;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use self::status::{Failure, to_status};
use crate::{
    app::{Command, Done, Shipments},
    domain::{Refusal, estimate, quote},
    store, wire,
};

/// Answers calls.
pub struct Api {
    pub db: Database,
    pub writer: Gather<Shipments>,
    /// Those who follow a parcel's way, by its last sequence.
    pub watchers: Watchers,
    pub draining: CancellationToken,
}

impl Api {
    async fn submit(&self, command: Result<Command, Invalid>) -> Result<Option<Shipment>, Status> {
        let command = command.map_err(to_status)?;
        let outcome = self.writer.submit(command).await.map_err(to_status)?;
        let Done { shipment, changed } = outcome.map_err(to_status)?;
        if changed {
            tracing::info!(
                shipment_id = %shipment.id,
                order_id = shipment.order_id.map(tracing::field::display),
                state = %shipment.state,
                "shipment changed",
            );
        }
        Ok(Some(wire::shipment(&shipment)))
    }
}

#[tonic::async_trait]
impl ShippingService for Api {
    type TrackShipmentStream = ReceiverStream<Result<TrackShipmentResponse, Status>>;

    async fn quote_shipping(
        &self,
        request: Request<QuoteShippingRequest>,
    ) -> Result<Response<QuoteShippingResponse>, Status> {
        let (country, parcel) = wire::quote_shipping(request.get_ref()).map_err(to_status)?;
        let terms = quote(country, parcel).map_err(Failure::NotQuoted).map_err(to_status)?;
        let today = OffsetDateTime::now_utc().date();
        let estimate = estimate(terms.zone, terms.parcel.speed, today);
        Ok(Response::new(wire::quote(&terms, estimate)))
    }

    async fn create_shipment(
        &self,
        request: Request<CreateShipmentRequest>,
    ) -> Result<Response<CreateShipmentResponse>, Status> {
        let shipment = self.submit(wire::create_shipment(request.get_ref())).await?;
        Ok(Response::new(CreateShipmentResponse { shipment }))
    }

    async fn release_shipment(
        &self,
        request: Request<ReleaseShipmentRequest>,
    ) -> Result<Response<ReleaseShipmentResponse>, Status> {
        let shipment = self.submit(wire::release_shipment(request.get_ref())).await?;
        Ok(Response::new(ReleaseShipmentResponse { shipment }))
    }

    async fn cancel_shipment(
        &self,
        request: Request<CancelShipmentRequest>,
    ) -> Result<Response<CancelShipmentResponse>, Status> {
        let shipment = self.submit(wire::cancel_shipment(request.get_ref())).await?;
        Ok(Response::new(CancelShipmentResponse { shipment }))
    }

    async fn get_shipment(
        &self,
        request: Request<GetShipmentRequest>,
    ) -> Result<Response<GetShipmentResponse>, Status> {
        let id = wire::get_shipment(request.get_ref()).map_err(to_status)?;
        let shipment =
            store::get(self.db.pool(), id, only_of(&request)).await.map_err(to_status)?;
        let shipment = shipment.ok_or(Refusal::NotFound).map_err(to_status)?;
        Ok(Response::new(GetShipmentResponse { shipment: Some(wire::shipment(&shipment)) }))
    }

    async fn list_shipments(
        &self,
        request: Request<ListShipmentsRequest>,
    ) -> Result<Response<ListShipmentsResponse>, Status> {
        let page = wire::list_shipments(request.get_ref()).map_err(to_status)?;
        let limit = i64::try_from(page.size + 1).expect("pages are small");
        let listed =
            store::list(self.db.pool(), page.listed, only_of(&request), page.after, limit).await;
        Ok(Response::new(wire::shipments_page(listed.map_err(to_status)?, &page)))
    }

    async fn track_shipment(
        &self,
        request: Request<TrackShipmentRequest>,
    ) -> Result<Response<Self::TrackShipmentStream>, Status> {
        let from = wire::track_shipment(request.get_ref()).map_err(to_status)?;
        let (db, draining) = (self.db.pool().clone(), self.draining.clone());
        Ok(Response::new(
            track::entries(db, &self.watchers, from, only_of(&request), draining).await?,
        ))
    }

    async fn record_carrier_update(
        &self,
        request: Request<RecordCarrierUpdateRequest>,
    ) -> Result<Response<RecordCarrierUpdateResponse>, Status> {
        let shipment = self.submit(wire::record_carrier_update(request.get_ref())).await?;
        Ok(Response::new(RecordCarrierUpdateResponse { shipment }))
    }
    async fn record_positions(
        &self,
        request: Request<Streaming<RecordPositionsRequest>>,
    ) -> Result<Response<RecordPositionsResponse>, Status> {
        let (messages, draining) = (request.into_inner(), self.draining.clone());
        let answer = positions::record(&self.db, &self.watchers, messages, draining).await?;
        Ok(Response::new(answer))
    }
}
