//! `shop.payments.v1.PaymentsService` over gRPC. Handlers translate; they decide nothing.

mod status;

use shop::payments::v1::{
    AuthorizePaymentRequest, AuthorizePaymentResponse, CapturePaymentRequest,
    CapturePaymentResponse, GetPaymentRequest, GetPaymentResponse, RefundPaymentRequest,
    RefundPaymentResponse, UndoPaymentRequest, UndoPaymentResponse,
    payments_service_server::{PaymentsService, PaymentsServiceServer},
};
use tonic::{Request, Response, Status};

use self::status::to_status;
use crate::{
    app::Payments,
    wire::{self, Keys},
};

/// The service, ready to be mounted.
pub fn payments_service(payments: Payments) -> PaymentsServiceServer<impl PaymentsService> {
    PaymentsServiceServer::new(Api { payments })
}

struct Api {
    payments: Payments,
}

#[tonic::async_trait]
impl PaymentsService for Api {
    async fn authorize_payment(
        &self,
        request: Request<AuthorizePaymentRequest>,
    ) -> Result<Response<AuthorizePaymentResponse>, Status> {
        let (id, terms, token) = wire::authorize(request.into_inner()).map_err(to_status)?;
        let payment = self.payments.authorize(id, terms, token).await.map_err(to_status)?;
        Ok(Response::new(AuthorizePaymentResponse { payment: Some(wire::payment(&payment)) }))
    }

    async fn capture_payment(
        &self,
        request: Request<CapturePaymentRequest>,
    ) -> Result<Response<CapturePaymentResponse>, Status> {
        let Keys { payment_id, key, digest } =
            wire::capture(request.get_ref()).map_err(to_status)?;
        let payment = self.payments.capture(payment_id, key, digest).await.map_err(to_status)?;
        Ok(Response::new(CapturePaymentResponse { payment: Some(wire::payment(&payment)) }))
    }

    async fn undo_payment(
        &self,
        request: Request<UndoPaymentRequest>,
    ) -> Result<Response<UndoPaymentResponse>, Status> {
        let Keys { payment_id, key, digest } = wire::undo(request.get_ref()).map_err(to_status)?;
        let payment = self.payments.undo(payment_id, key, digest).await.map_err(to_status)?;
        Ok(Response::new(UndoPaymentResponse { payment: Some(wire::payment(&payment)) }))
    }

    async fn refund_payment(
        &self,
        request: Request<RefundPaymentRequest>,
    ) -> Result<Response<RefundPaymentResponse>, Status> {
        let (keys, amount) = wire::refund(request.get_ref()).map_err(to_status)?;
        let Keys { payment_id, key, digest } = keys;
        let refund = self.payments.refund(payment_id, key, digest, amount);
        let payment = refund.await.map_err(to_status)?;
        Ok(Response::new(RefundPaymentResponse { payment: Some(wire::payment(&payment)) }))
    }

    async fn get_payment(
        &self,
        request: Request<GetPaymentRequest>,
    ) -> Result<Response<GetPaymentResponse>, Status> {
        let id = wire::payment_id(&request.get_ref().payment_id).map_err(to_status)?;
        let payment = self.payments.get(id).await.map_err(to_status)?;
        Ok(Response::new(GetPaymentResponse { payment: Some(wire::payment(&payment)) }))
    }
}
