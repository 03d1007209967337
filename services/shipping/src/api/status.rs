//! What a failure tells the caller. The only such file of the service.

use mesh_log::SubmitError;
use mesh_rpc::{Fault, Invalid};
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::ErrorDetails;

use crate::domain::Refusal;

const DOMAIN: &str = "shipping.shop";

/// Everything that can keep a call from its answer.
#[derive(Debug, Error)]
pub enum Failure {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    NotDone(#[from] SubmitError),
    #[error("the database is unavailable")]
    Database(#[from] sqlx::Error),
}

pub fn to_status(failure: impl Into<Failure>) -> Status {
    mesh_rpc::status(DOMAIN, &failure.into())
}

impl Fault for Failure {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::Refused(Refusal::NotFound) => Code::NotFound,
            Self::Refused(_) => Code::FailedPrecondition,
            Self::NotDone(SubmitError::Overloaded) | Self::Database(sqlx::Error::PoolTimedOut) => {
                Code::ResourceExhausted
            }
            Self::NotDone(SubmitError::Expired) => Code::DeadlineExceeded,
            Self::NotDone(SubmitError::Database(_) | SubmitError::Stopped) => Code::Unavailable,
            Self::Database(sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }) => {
                Code::Internal
            }
            Self::Database(_) => Code::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(invalid) => invalid.reason(),
            Self::Refused(Refusal::AddressNotServed { .. }) => "ADDRESS_NOT_SERVED",
            Self::Refused(Refusal::CancelledBeforeArrival) => "CANCELLED_BEFORE_ARRIVAL",
            Self::Refused(Refusal::ContentDiffers) => "REQUEST_CONTENT_DIFFERS",
            Self::Refused(Refusal::Dispatched) => "SHIPMENT_DISPATCHED",
            Self::Refused(Refusal::NotFound) => "SHIPMENT_NOT_FOUND",
            Self::Refused(Refusal::StateConflict { .. }) => "SHIPMENT_STATE_CONFLICT",
            Self::NotDone(SubmitError::Overloaded) | Self::Database(sqlx::Error::PoolTimedOut) => {
                "OVERLOADED"
            }
            Self::NotDone(SubmitError::Expired) => "DEADLINE_PASSED",
            Self::NotDone(SubmitError::Stopped) => "SERVICE_STOPPING",
            Self::NotDone(SubmitError::Database(_)) | Self::Database(_) => "DATABASE_UNAVAILABLE",
        }
    }

    fn describe(&self, details: &mut ErrorDetails) {
        match self {
            Self::Invalid(invalid) => invalid.describe(details),
            Self::Refused(refusal @ Refusal::AddressNotServed { .. }) => {
                details.add_bad_request_violation("address.country_code", refusal.to_string());
            }
            Self::Refused(_) | Self::NotDone(_) | Self::Database(_) => {}
        }
    }
}
