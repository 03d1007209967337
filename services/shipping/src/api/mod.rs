//! `shop.shipping.v1.ShippingService`.

mod status;

use mesh_log::{Database, Gather};
use mesh_rpc::Invalid;
use shop::shipping::v1::{
    CancelShipmentRequest, CancelShipmentResponse, CreateShipmentRequest, CreateShipmentResponse,
    GetShipmentRequest, GetShipmentResponse, RecordCarrierUpdateRequest,
    RecordCarrierUpdateResponse, ReleaseShipmentRequest, ReleaseShipmentResponse, Shipment,
    shipping_service_server::ShippingService,
};
use tonic::{Request, Response, Status};

use self::status::to_status;
use crate::{
    app::{Command, Done, Shipments},
    domain::Refusal,
    store, wire,
};

/// Answers calls.
pub struct Api {
    pub db: Database,
    pub writer: Gather<Shipments>,
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
        let shipment = store::get(self.db.pool(), id).await.map_err(to_status)?;
        let shipment = shipment.ok_or(Refusal::NotFound).map_err(to_status)?;
        Ok(Response::new(GetShipmentResponse { shipment: Some(wire::shipment(&shipment)) }))
    }

    async fn record_carrier_update(
        &self,
        request: Request<RecordCarrierUpdateRequest>,
    ) -> Result<Response<RecordCarrierUpdateResponse>, Status> {
        let shipment = self.submit(wire::record_carrier_update(request.get_ref())).await?;
        Ok(Response::new(RecordCarrierUpdateResponse { shipment }))
    }
}
