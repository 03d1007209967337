//! `ProcessorService`.

use mesh_rpc::Invalid;
use shop::processor::v1::{
    AuthorizeChargeRequest, AuthorizeChargeResponse, CaptureChargeRequest, CaptureChargeResponse,
    Charge, GetChargeRequest, GetChargeResponse, RefundChargeRequest, RefundChargeResponse,
    VoidChargeRequest, VoidChargeResponse,
    processor_service_server::{ProcessorService, ProcessorServiceServer},
};
use tonic::{Request, Response, Status};

use super::status::{Failure, to_status};
use crate::{
    app::{Charges, Command},
    wire,
};

/// The service, ready to be mounted.
pub fn processor_service(charges: Charges) -> ProcessorServiceServer<impl ProcessorService> {
    ProcessorServiceServer::new(Api { charges })
}

struct Api {
    charges: Charges,
}

impl Api {
    async fn run(&self, command: Result<Command, Invalid>) -> Result<Option<Charge>, Status> {
        let charge = self.charges.run(command.map_err(to_status)?).await.map_err(to_status)?;
        Ok(Some(wire::charge(&charge)))
    }
}

#[tonic::async_trait]
impl ProcessorService for Api {
    async fn authorize_charge(
        &self,
        request: Request<AuthorizeChargeRequest>,
    ) -> Result<Response<AuthorizeChargeResponse>, Status> {
        let command = wire::authorize_charge(request.get_ref()).map_err(to_status)?;
        let charge = self.charges.run(command).await.map_err(Failure::NotMade);
        let charge = Some(wire::charge(&charge.map_err(to_status)?));
        Ok(Response::new(AuthorizeChargeResponse { charge }))
    }

    async fn capture_charge(
        &self,
        request: Request<CaptureChargeRequest>,
    ) -> Result<Response<CaptureChargeResponse>, Status> {
        let charge = self.run(wire::capture_charge(request.get_ref())).await?;
        Ok(Response::new(CaptureChargeResponse { charge }))
    }

    async fn void_charge(
        &self,
        request: Request<VoidChargeRequest>,
    ) -> Result<Response<VoidChargeResponse>, Status> {
        let charge = self.run(wire::void_charge(request.get_ref())).await?;
        Ok(Response::new(VoidChargeResponse { charge }))
    }

    async fn refund_charge(
        &self,
        request: Request<RefundChargeRequest>,
    ) -> Result<Response<RefundChargeResponse>, Status> {
        let charge = self.run(wire::refund_charge(request.get_ref())).await?;
        Ok(Response::new(RefundChargeResponse { charge }))
    }

    async fn get_charge(
        &self,
        request: Request<GetChargeRequest>,
    ) -> Result<Response<GetChargeResponse>, Status> {
        let id = wire::get_charge(request.get_ref()).map_err(to_status)?;
        let charge = self.charges.get(id).await.map_err(to_status)?;
        Ok(Response::new(GetChargeResponse { charge: Some(wire::charge(&charge)) }))
    }
}
