//! How this service's failures look to callers. The only such file of the service.

use std::collections::HashMap;

use mesh_log::SubmitError;
use mesh_rpc::Fault;
use tonic::{Code, Status};

use crate::{app::Error, domain::Refusal};

pub(super) fn to_status(fault: impl Fault) -> Status {
    mesh_rpc::status("inventory.shop", &fault)
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::StockNotFound { .. }
            | Self::ReservationNotFound
            | Self::Refused(Refusal::ReservationNotFound) => Code::NotFound,
            Self::Refused(_) => Code::FailedPrecondition,
            Self::Submit(SubmitError::Overloaded) | Self::Database(sqlx::Error::PoolTimedOut) => {
                Code::ResourceExhausted
            }
            Self::Submit(SubmitError::Expired) => Code::DeadlineExceeded,
            Self::Submit(SubmitError::Database(_) | SubmitError::Stopped) => Code::Unavailable,
            Self::Database(sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }) => {
                Code::Internal
            }
            Self::Database(_) => Code::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal_reason(refusal),
            Self::StockNotFound { .. } => "SKU_NOT_FOUND",
            Self::ReservationNotFound => "RESERVATION_NOT_FOUND",
            Self::Submit(SubmitError::Overloaded) | Self::Database(sqlx::Error::PoolTimedOut) => {
                "OVERLOADED"
            }
            Self::Submit(SubmitError::Expired) => "DEADLINE_PASSED",
            Self::Submit(SubmitError::Stopped) => "SERVICE_STOPPING",
            Self::Submit(SubmitError::Database(_)) | Self::Database(_) => "DATABASE_UNAVAILABLE",
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::Refused(Refusal::OutOfStock { sku } | Refusal::SkuUnknown { sku })
            | Self::StockNotFound { sku } => HashMap::from([("sku".into(), sku.to_string())]),
            _ => HashMap::new(),
        }
    }
}

fn refusal_reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::OutOfStock { .. } => "OUT_OF_STOCK",
        Refusal::SkuUnknown { .. } => "SKU_UNKNOWN",
        Refusal::CancelledBeforeArrival => "CANCELLED_BEFORE_ARRIVAL",
        Refusal::RequestContentDiffers => "REQUEST_CONTENT_DIFFERS",
        Refusal::ReservationNotFound => "RESERVATION_NOT_FOUND",
        Refusal::ReservationShipped => "RESERVATION_SHIPPED",
        Refusal::ReservationNotCommitted { .. } => "RESERVATION_NOT_COMMITTED",
        Refusal::ReservationNotShipped { .. } => "RESERVATION_NOT_SHIPPED",
        Refusal::OrderUnknown => "ORDER_UNKNOWN",
    }
}
