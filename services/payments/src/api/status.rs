//! How this service's failures look to callers.

use std::collections::HashMap;

use mesh_rpc::{Fault, Invalid};
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::ErrorDetails;

use crate::{app, domain::Refusal};

const DOMAIN: &str = "payments.shop";

/// Everything that can keep a call from its answer.
#[derive(Debug, Error)]
pub enum Failure {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Failed(#[from] app::Error),
    /// The same, of a request whose `request_id` names the payment.
    #[error(transparent)]
    NotMade(app::Error),
}

pub(super) fn to_status(failure: impl Into<Failure>) -> Status {
    mesh_rpc::status(DOMAIN, &failure.into())
}

impl Fault for Failure {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::Failed(error) | Self::NotMade(error) => match error {
                app::Error::Refused(Refusal::NotFound) => Code::NotFound,
                app::Error::Refused(Refusal::CurrencyDiffers) => Code::InvalidArgument,
                app::Error::Refused(_) => Code::FailedPrecondition,
                app::Error::OutcomeUnknown => Code::Unavailable,
                app::Error::NotDone(error) => Code::from_i32(error.code()),
            },
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(invalid) => invalid.reason(),
            Self::Failed(error) | Self::NotMade(error) => match error {
                app::Error::Refused(refusal) => reason(refusal),
                app::Error::OutcomeUnknown => "PAYMENT_OUTCOME_UNKNOWN",
                app::Error::NotDone(error) => error.reason(),
            },
        }
    }

    fn describe(&self, details: &mut ErrorDetails) {
        match self {
            Self::Invalid(invalid) => invalid.describe(details),
            Self::Failed(app::Error::Refused(refusal)) => {
                details
                    .add_bad_request_violation(field(refusal, "payment_id"), refusal.to_string());
            }
            Self::NotMade(app::Error::Refused(refusal)) => {
                let field = field(refusal, "request_id");
                details.add_bad_request_violation(field, refusal.to_string());
            }
            Self::Failed(_) | Self::NotMade(_) => {}
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::NotMade(app::Error::Refused(Refusal::CardDeclined { reason })) => {
                HashMap::from([("decline_reason".to_owned(), reason.clone())])
            }
            _ => HashMap::new(),
        }
    }
}

/// The request's field to blame; `payment` is the one that names the payment.
fn field(refusal: &Refusal, payment: &'static str) -> &'static str {
    match refusal {
        Refusal::CardDeclined { .. } => "card_token",
        Refusal::ContentDiffers => "request_id",
        Refusal::CaptureTooLarge | Refusal::RefundTooLarge => "amount",
        Refusal::CurrencyDiffers => "amount.currency_code",
        Refusal::CancelledBeforeArrival
        | Refusal::NotFound
        | Refusal::NotAuthorized
        | Refusal::CaptureRefused
        | Refusal::NotCaptured
        | Refusal::RefundRefused
        | Refusal::TooManyRefunds => payment,
    }
}

fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::CardDeclined { .. } => "CARD_DECLINED",
        Refusal::CancelledBeforeArrival => "CANCELLED_BEFORE_ARRIVAL",
        Refusal::ContentDiffers => "REQUEST_CONTENT_DIFFERS",
        Refusal::NotFound => "PAYMENT_NOT_FOUND",
        Refusal::NotAuthorized => "PAYMENT_NOT_AUTHORIZED",
        Refusal::CaptureRefused => "CAPTURE_REFUSED",
        Refusal::CaptureTooLarge => "CAPTURE_TOO_LARGE",
        Refusal::NotCaptured => "PAYMENT_NOT_CAPTURED",
        Refusal::RefundRefused => "REFUND_REFUSED",
        Refusal::RefundTooLarge => "REFUND_TOO_LARGE",
        Refusal::TooManyRefunds => "TOO_MANY_REFUNDS",
        Refusal::CurrencyDiffers => "CURRENCY_DIFFERS",
    }
}
