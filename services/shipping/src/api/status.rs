//! What a failure tells the caller. The only such file of the service.

use std::collections::HashMap;

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
    /// A refusal of a quote, whose fields have other names.
    #[error(transparent)]
    NotQuoted(Refusal),
    /// A refusal of a position in a stream of them.
    #[error("message {message}: {refusal}")]
    NotStored { message: u64, refusal: Refusal },
    #[error("message {message}: {invalid}")]
    InvalidMessage { message: u64, invalid: Invalid },
    #[error(transparent)]
    NotDone(#[from] SubmitError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::NotDone(error.into())
    }
}

pub fn to_status(failure: impl Into<Failure>) -> Status {
    mesh_rpc::status(DOMAIN, &failure.into())
}

impl Failure {
    fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) | Self::NotQuoted(refusal) | Self::NotStored { refusal, .. } => {
                Some(refusal)
            }
            Self::Invalid(_) | Self::InvalidMessage { .. } | Self::NotDone(_) => None,
        }
    }

    /// The field of the request that a refusal is about.
    fn field(&self, refusal: &Refusal) -> &'static str {
        match (refusal, self) {
            (Refusal::AddressNotServed { .. }, Self::NotQuoted(_)) => "country_code",
            (Refusal::AddressNotServed { .. }, _) => "address.country_code",
            (Refusal::ContentDiffers, Self::NotStored { .. }) => "position.position_id",
            (Refusal::CancelledBeforeArrival | Refusal::ContentDiffers, _) => "request_id",
            (Refusal::StateConflict { .. }, _) => "state",
            (Refusal::SequenceAhead { .. }, _) => "after_sequence",
            (
                Refusal::Cancelled
                | Refusal::Dispatched
                | Refusal::NotDispatched { .. }
                | Refusal::NotFound
                | Refusal::TooManyPositions { .. },
                _,
            ) => "shipment_id",
        }
    }
}

impl Fault for Failure {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) | Self::InvalidMessage { .. } => Code::InvalidArgument,
            Self::Refused(refusal) | Self::NotQuoted(refusal) | Self::NotStored { refusal, .. } => {
                match refusal {
                    Refusal::NotFound => Code::NotFound,
                    Refusal::SequenceAhead { .. } => Code::OutOfRange,
                    _ => Code::FailedPrecondition,
                }
            }
            Self::NotDone(error) => Code::from_i32(error.code()),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(invalid) | Self::InvalidMessage { invalid, .. } => invalid.reason(),
            Self::Refused(refusal) | Self::NotQuoted(refusal) | Self::NotStored { refusal, .. } => {
                reason(refusal)
            }
            Self::NotDone(error) => error.reason(),
        }
    }

    fn describe(&self, details: &mut ErrorDetails) {
        if let Self::Invalid(invalid) | Self::InvalidMessage { invalid, .. } = self {
            invalid.describe(details);
        }
        if let Some(refusal) = self.refusal() {
            details.add_bad_request_violation(self.field(refusal), refusal.to_string());
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        let message = match self {
            Self::NotStored { message, .. } | Self::InvalidMessage { message, .. } => {
                Some(("message", message.to_string()))
            }
            _ => None,
        };
        let value = match self.refusal() {
            Some(Refusal::AddressNotServed { country }) => {
                Some(("country_code", country.as_str().to_owned()))
            }
            Some(Refusal::StateConflict { state, .. } | Refusal::NotDispatched { state }) => {
                Some(("state", state.to_string()))
            }
            _ => None,
        };
        let values = message.into_iter().chain(value);
        values.map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::AddressNotServed { .. } => "ADDRESS_NOT_SERVED",
        Refusal::Cancelled | Refusal::CancelledBeforeArrival => "CANCELLED_BEFORE_ARRIVAL",
        Refusal::ContentDiffers => "REQUEST_CONTENT_DIFFERS",
        Refusal::Dispatched => "SHIPMENT_DISPATCHED",
        Refusal::NotDispatched { .. } => "SHIPMENT_NOT_DISPATCHED",
        Refusal::NotFound => "SHIPMENT_NOT_FOUND",
        Refusal::SequenceAhead { .. } => "SEQUENCE_AHEAD",
        Refusal::StateConflict { .. } => "SHIPMENT_STATE_CONFLICT",
        Refusal::TooManyPositions { .. } => "POSITIONS_TOO_MANY",
    }
}
