//! What a failure tells the caller. The only such file of the service.

use std::collections::HashMap;

use mesh_log::SubmitError;
use mesh_rpc::{Fault, Invalid};
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::ErrorDetails;

use crate::{
    DOMAIN,
    app::Error,
    domain::{CartRefusal, NotCancellable, Unpriceable},
    neighbours::Unpriced,
};

/// Everything that can keep a call from its answer.
#[derive(Debug, Error)]
pub enum Failure {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    NotDone(#[from] Error),
    /// In a call about the cart itself.
    #[error(transparent)]
    InCart(Error),
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        Self::NotDone(error.into())
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::NotDone(error.into())
    }
}

pub fn to_status(failure: impl Into<Failure>) -> Status {
    mesh_rpc::status(DOMAIN, &failure.into())
}

impl Fault for Failure {
    fn code(&self) -> Code {
        let error = match self {
            Self::Invalid(invalid) => return invalid.code(),
            Self::NotDone(error) | Self::InCart(error) => error,
        };
        match error {
            Error::NotFound => Code::NotFound,
            Error::VersionAhead => Code::OutOfRange,
            Error::Cart(CartRefusal::Changed) | Error::Contended => Code::Aborted,
            Error::Cart(CartRefusal::Empty)
            | Error::Unpriceable(_)
            | Error::Unpriced(Unpriced::NotSold { .. })
            | Error::NotCancellable(_)
            | Error::ContentDiffers => Code::FailedPrecondition,
            Error::Unreadable => Code::Internal,
            Error::Unpriced(Unpriced::Unanswered(status))
                if status.code() == Code::DeadlineExceeded =>
            {
                Code::DeadlineExceeded
            }
            Error::NotDone(SubmitError::Overloaded)
            | Error::Database(sqlx::Error::PoolTimedOut) => Code::ResourceExhausted,
            Error::NotDone(SubmitError::Expired) => Code::DeadlineExceeded,
            Error::Unpriced(_) | Error::NotDone(_) | Error::Database(_) => Code::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        let error = match self {
            Self::Invalid(invalid) => return invalid.reason(),
            Self::NotDone(error) | Self::InCart(error) => error,
        };
        match error {
            Error::NotFound => "ORDER_NOT_FOUND",
            Error::VersionAhead => "VERSION_AHEAD",
            Error::Cart(CartRefusal::Changed) => "CART_CHANGED",
            Error::Cart(CartRefusal::Empty) => "CART_EMPTY",
            Error::Unpriceable(Unpriceable::CurrenciesMixed) => "CURRENCIES_MIXED",
            Error::Unpriceable(Unpriceable::TooLarge) => "TOTAL_TOO_LARGE",
            Error::Unpriceable(Unpriceable::Nothing) => "NOTHING_TO_PAY",
            Error::Unpriced(Unpriced::NotSold { .. }) => "PRODUCT_NOT_SOLD",
            Error::NotCancellable(NotCancellable::Dispatched) => "ORDER_DISPATCHED",
            Error::NotCancellable(NotCancellable::Ended) => "ORDER_NOT_CANCELLABLE",
            Error::ContentDiffers => "REQUEST_CONTENT_DIFFERS",
            Error::Contended => "ORDER_CONTENDED",
            Error::Unreadable => "ORDER_UNREADABLE",
            Error::Unpriced(Unpriced::Unanswered(_)) => "CATALOG_UNAVAILABLE",
            Error::NotDone(SubmitError::Overloaded)
            | Error::Database(sqlx::Error::PoolTimedOut) => "OVERLOADED",
            Error::NotDone(SubmitError::Expired) => "DEADLINE_PASSED",
            Error::NotDone(SubmitError::Stopped) => "SERVICE_STOPPING",
            Error::NotDone(SubmitError::Database(_)) | Error::Database(_) => "DATABASE_UNAVAILABLE",
        }
    }

    fn describe(&self, details: &mut ErrorDetails) {
        match self {
            Self::Invalid(invalid) => invalid.describe(details),
            Self::NotDone(error @ Error::VersionAhead) => {
                details.add_bad_request_violation("as_of_version", error.to_string());
            }
            Self::NotDone(error @ Error::Cart(CartRefusal::Changed)) => {
                details.add_bad_request_violation("cart_etag", error.to_string());
            }
            Self::InCart(error @ Error::Cart(CartRefusal::Changed)) => {
                details.add_bad_request_violation("etag", error.to_string());
            }
            Self::NotDone(_) | Self::InCart(_) => (),
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::NotDone(Error::Unpriced(Unpriced::NotSold { sku })) => {
                HashMap::from([("sku".to_owned(), sku.clone())])
            }
            _ => HashMap::new(),
        }
    }
}
