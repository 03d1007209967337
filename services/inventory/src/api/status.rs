//! How this service's failures look to callers. The only such file of the service.

use std::collections::HashMap;

use mesh_log::SubmitError;
use mesh_rpc::{Code, ErrorDetails, Fault, Invalid};
use tonic::Status;

use crate::{app::Error, domain::Refusal, wire::Blame};

/// Why a call got no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("{refusal}")]
    Refused { refusal: Refusal, field: String },
    #[error(transparent)]
    NotDone(#[from] SubmitError),
}

pub(super) fn to_status(failure: impl Into<Failure>) -> Status {
    mesh_rpc::status("inventory.shop", &failure.into())
}

/// The same for a request that may have been refused, naming the field that is to blame.
pub(super) fn failed(request: &impl Blame, error: Error) -> Status {
    to_status(match error {
        Error::Refused(refusal) => Failure::Refused { field: request.blame(&refusal), refusal },
        Error::NotDone(error) => Failure::NotDone(error),
    })
}

impl Fault for Failure {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::Refused { refusal, .. } => code(refusal),
            Self::NotDone(error) => Code::from_i32(error.code()),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(invalid) => invalid.reason(),
            Self::Refused { refusal, .. } => reason(refusal),
            Self::NotDone(error) => error.reason(),
        }
    }

    fn describe(&self, details: &mut ErrorDetails) {
        match self {
            Self::Invalid(invalid) => invalid.describe(details),
            Self::Refused { refusal, field } => {
                details.add_bad_request_violation(field, refusal.to_string());
            }
            Self::NotDone(_) => {}
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        let Self::Refused { refusal, .. } = self else { return HashMap::new() };
        match refusal {
            Refusal::OutOfStock { sku }
            | Refusal::SkuUnknown { sku }
            | Refusal::StockNotFound { sku } => HashMap::from([("sku".into(), sku.to_string())]),
            _ => HashMap::new(),
        }
    }
}

fn code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::StockNotFound { .. } | Refusal::ReservationNotFound => Code::NotFound,
        Refusal::ThresholdChanged => Code::Aborted,
        _ => Code::FailedPrecondition,
    }
}

fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::OutOfStock { .. } => "OUT_OF_STOCK",
        Refusal::SkuUnknown { .. } => "SKU_UNKNOWN",
        Refusal::StockNotFound { .. } => "SKU_NOT_FOUND",
        Refusal::ThresholdChanged => "THRESHOLD_CHANGED",
        Refusal::CancelledBeforeArrival => "CANCELLED_BEFORE_ARRIVAL",
        Refusal::RequestContentDiffers => "REQUEST_CONTENT_DIFFERS",
        Refusal::ReservationNotFound => "RESERVATION_NOT_FOUND",
        Refusal::ReservationShipped => "RESERVATION_SHIPPED",
        Refusal::ReservationNotCommitted { .. } => "RESERVATION_NOT_COMMITTED",
        Refusal::ReservationNotShipped { .. } => "RESERVATION_NOT_SHIPPED",
        Refusal::OrderUnknown => "ORDER_UNKNOWN",
    }
}
