//! How this service's failures look to callers.

use std::collections::HashMap;

use mesh_log::SubmitError;
use mesh_rpc::Fault;
use tonic::{Code, Status};
use tonic_types::ErrorDetails;

use crate::{app::Error, domain::Refusal, wire::Invalid};

pub(super) fn to_status(fault: impl Fault) -> Status {
    mesh_rpc::status("payments.shop", &fault)
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::Refused(Refusal::NotFound) => Code::NotFound,
            Self::Refused(Refusal::CurrencyDiffers) => Code::InvalidArgument,
            Self::Refused(_) => Code::FailedPrecondition,
            Self::Submit(SubmitError::Overloaded) => Code::ResourceExhausted,
            Self::Submit(SubmitError::Expired) => Code::DeadlineExceeded,
            Self::OutcomeUnknown | Self::Submit(_) | Self::Database(_) => Code::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => reason(refusal),
            Self::OutcomeUnknown => "PAYMENT_OUTCOME_UNKNOWN",
            Self::Submit(SubmitError::Overloaded) => "OVERLOADED",
            Self::Submit(SubmitError::Expired) => "DEADLINE_PASSED",
            Self::Submit(SubmitError::Stopped) => "SERVICE_STOPPING",
            Self::Submit(SubmitError::Database(_)) | Self::Database(_) => "DATABASE_UNAVAILABLE",
        }
    }

    fn describe(&self, details: &mut ErrorDetails) {
        if matches!(self, Self::Refused(Refusal::CurrencyDiffers)) {
            details.add_bad_request_violation("amount.currency_code", self.to_string());
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::Refused(Refusal::CardDeclined { reason }) => {
                HashMap::from([("decline_reason".to_owned(), reason.clone())])
            }
            _ => HashMap::new(),
        }
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
        Refusal::NotCaptured => "PAYMENT_NOT_CAPTURED",
        Refusal::RefundRefused => "REFUND_REFUSED",
        Refusal::RefundTooLarge => "REFUND_TOO_LARGE",
        Refusal::CurrencyDiffers => "CURRENCY_DIFFERS",
    }
}

impl Fault for Invalid {
    fn code(&self) -> Code {
        Code::InvalidArgument
    }

    fn reason(&self) -> &'static str {
        "INVALID_REQUEST"
    }

    fn describe(&self, details: &mut ErrorDetails) {
        details.add_bad_request_violation(self.field.clone(), self.problem);
    }
}
