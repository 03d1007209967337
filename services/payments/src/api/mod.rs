//! `shop.payments.v1.PaymentsService` over gRPC. Handlers translate; they decide nothing.

mod status;

use shop::payments::v1::{
    AuthorizePaymentRequest, AuthorizePaymentResponse, CapturePaymentRequest,
    CapturePaymentResponse, GetPaymentRequest, GetPaymentResponse, ListLedgerEntriesRequest,
    ListLedgerEntriesResponse, ListPaymentsRequest, ListPaymentsResponse, RefundPaymentRequest,
    RefundPaymentResponse, UndoPaymentRequest, UndoPaymentResponse,
    payments_service_server::{PaymentsService, PaymentsServiceServer},
};
use tonic::{Request, Response, Status};

use self::status::{Failure, to_status};
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
        let made = self.payments.authorize(id, terms, token).await;
        let payment = made.map_err(Failure::NotMade).map_err(to_status)?;
        Ok(Response::new(AuthorizePaymentResponse { payment: Some(wire::payment(&payment)) }))
    }

    async fn capture_payment(
        &self,
        request: Request<CapturePaymentRequest>,
    ) -> Result<Response<CapturePaymentResponse>, Status> {
        let (keys, part) = wire::capture(request.get_ref()).map_err(to_status)?;
        let Keys { payment_id, key, digest } = keys;
        let capture = self.payments.capture(payment_id, key, digest, part);
        let payment = capture.await.map_err(to_status)?;
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
        let (payment, refund) = refund.await.map_err(to_status)?;
        let (payment, refund) =
            (Some(wire::payment(&payment)), refund.as_ref().map(wire::refunded));
        Ok(Response::new(RefundPaymentResponse { payment, refund }))
    }

    async fn get_payment(
        &self,
        request: Request<GetPaymentRequest>,
    ) -> Result<Response<GetPaymentResponse>, Status> {
        let id = wire::get(request.get_ref()).map_err(to_status)?;
        let (payment, refunds) = self.payments.get(id).await.map_err(to_status)?;
        let payment = Some(wire::payment(&payment));
        let refunds = refunds.iter().map(wire::refunded).collect();
        Ok(Response::new(GetPaymentResponse { payment, refunds }))
    }

    async fn list_payments(
        &self,
        request: Request<ListPaymentsRequest>,
    ) -> Result<Response<ListPaymentsResponse>, Status> {
        let page = wire::list_payments(request.get_ref()).map_err(to_status)?;
        let (payments, more) = self.payments.list(&page).await.map_err(to_status)?;
        Ok(Response::new(wire::payments_page(&page, &payments, more)))
    }

    async fn list_ledger_entries(
        &self,
        request: Request<ListLedgerEntriesRequest>,
    ) -> Result<Response<ListLedgerEntriesResponse>, Status> {
        let page = wire::list_ledger_entries(request.get_ref()).map_err(to_status)?;
        let (entries, more) = self.payments.entries(&page).await.map_err(to_status)?;
        Ok(Response::new(wire::entries_page(&page, &entries, more)))
    }
}
