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
    /// In a call that pours one cart into another.
    #[error(transparent)]
    InMerge(Error),
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
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
            Self::NotDone(error) | Self::InCart(error) | Self::InMerge(error) => error,
        };
        match error {
            Error::NotFound | Error::Cart(CartRefusal::NoSuchLine) => Code::NotFound,
            Error::VersionAhead { .. } => Code::OutOfRange,
            Error::Cart(CartRefusal::Changed | CartRefusal::SourceChanged) | Error::Contended => {
                Code::Aborted
            }
            Error::Cart(_)
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
            Error::Unpriced(_) => Code::Unavailable,
            Error::NotDone(error) => Code::from_i32(error.code()),
        }
    }

    fn reason(&self) -> &'static str {
        let error = match self {
            Self::Invalid(invalid) => return invalid.reason(),
            Self::NotDone(error) | Self::InCart(error) | Self::InMerge(error) => error,
        };
        match error {
            Error::NotFound => "ORDER_NOT_FOUND",
            Error::VersionAhead { .. } => "VERSION_AHEAD",
            Error::Cart(refusal) => cart_reason(refusal),
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
            Error::NotDone(error) => error.reason(),
        }
    }

    fn describe(&self, details: &mut ErrorDetails) {
        let field = match self {
            Self::Invalid(invalid) => return invalid.describe(details),
            Self::NotDone(error) => field(error),
            Self::InCart(error) => field_of_cart(error),
            Self::InMerge(error) => field_of_merge(error),
        };
        if let Some(field) = field {
            details.add_bad_request_violation(field, self.to_string());
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::NotDone(Error::Unpriced(Unpriced::NotSold { sku, .. }))
            | Self::InCart(Error::Cart(
                CartRefusal::QuantityTooLarge { sku } | CartRefusal::Full { sku },
            ))
            | Self::InMerge(Error::Cart(
                CartRefusal::QuantityTooLarge { sku } | CartRefusal::Full { sku },
            )) => HashMap::from([("sku".to_owned(), sku.clone())]),
            _ => HashMap::new(),
        }
    }
}

fn cart_reason(refusal: &CartRefusal) -> &'static str {
    match refusal {
        CartRefusal::Changed | CartRefusal::SourceChanged => "CART_CHANGED",
        CartRefusal::Empty => "CART_EMPTY",
        CartRefusal::NoSuchLine => "CART_LINE_NOT_FOUND",
        CartRefusal::QuantityTooLarge { .. } => "QUANTITY_TOO_LARGE",
        CartRefusal::Full { .. } => "CART_FULL",
    }
}

/// The field that is to blame, in a call about orders. What is ordered is the cart's.
fn field(error: &Error) -> Option<String> {
    let field = match error {
        Error::NotFound | Error::NotCancellable(_) | Error::Contended => "order_id",
        Error::VersionAhead { field } => field,
        Error::ContentDiffers => "request_id",
        Error::Cart(CartRefusal::Changed) => "cart_etag",
        Error::Unpriced(Unpriced::NotSold { line, .. }) => {
            return Some(format!("cart.lines[{line}].sku"));
        }
        Error::Cart(_) | Error::Unpriceable(_) => "cart.lines",
        Error::Unpriced(Unpriced::Unanswered(_)) | Error::Unreadable | Error::NotDone(_) => {
            return None;
        }
    };
    Some(field.to_owned())
}

/// The field that is to blame, in a call about a cart.
fn field_of_cart(error: &Error) -> Option<String> {
    let field = match error {
        Error::Cart(CartRefusal::Changed) => "etag",
        Error::Cart(CartRefusal::NoSuchLine | CartRefusal::Full { .. }) => "sku",
        Error::Cart(CartRefusal::QuantityTooLarge { .. }) => "quantity",
        error => return field(error),
    };
    Some(field.to_owned())
}

/// The field that is to blame, in a call that pours one cart into another.
fn field_of_merge(error: &Error) -> Option<String> {
    match error {
        Error::Cart(CartRefusal::Changed) => Some("etag".to_owned()),
        Error::Cart(CartRefusal::SourceChanged) => Some("source_etag".to_owned()),
        Error::Cart(_) => Some("source_customer_id".to_owned()),
        error => field(error),
    }
}
