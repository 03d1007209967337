//! What a failure tells the caller. The only such file of the service.

use mesh_log::SubmitError;
use mesh_rpc::{Fault, Invalid};
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::ErrorDetails;

use crate::{app, domain::Refusal};

const DOMAIN: &str = "catalog.shop";

/// Everything that can keep a call from its answer.
#[derive(Debug, Error)]
pub enum Failure {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    NotDone(#[from] SubmitError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::NotDone(error.into())
    }
}

impl From<app::Error> for Failure {
    fn from(error: app::Error) -> Self {
        match error {
            app::Error::Refused(refusal) => Self::Refused(refusal),
            app::Error::NotDone(error) => Self::NotDone(error),
        }
    }
}

pub fn to_status(failure: impl Into<Failure>) -> Status {
    mesh_rpc::status(DOMAIN, &failure.into())
}

impl Fault for Failure {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::Refused(refusal) => match refusal {
                Refusal::ProductNotFound { .. }
                | Refusal::CategoryNotFound
                | Refusal::SlugNotFound => Code::NotFound,
                Refusal::ProductChanged | Refusal::CategoryChanged => Code::Aborted,
                Refusal::SkuTaken | Refusal::SlugTaken => Code::AlreadyExists,
                Refusal::ProductArchived | Refusal::CategoryUnknown | Refusal::ContentDiffers => {
                    Code::FailedPrecondition
                }
            },
            Self::NotDone(error) => Code::from_i32(error.code()),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(invalid) => invalid.reason(),
            Self::Refused(refusal) => refused(refusal).0,
            Self::NotDone(error) => error.reason(),
        }
    }

    fn describe(&self, details: &mut ErrorDetails) {
        match self {
            Self::Invalid(invalid) => invalid.describe(details),
            Self::Refused(refusal) => {
                details.add_bad_request_violation(refused(refusal).1, refusal.to_string());
            }
            Self::NotDone(_) => {}
        }
    }
}

/// The stable cause, and the field of the request that is to blame.
fn refused(refusal: &Refusal) -> (&'static str, &'static str) {
    match refusal {
        Refusal::ProductNotFound { .. } => ("PRODUCT_NOT_FOUND", "sku"),
        Refusal::ProductChanged => ("PRODUCT_CHANGED", "etag"),
        Refusal::ProductArchived => ("PRODUCT_ARCHIVED", "sku"),
        Refusal::SkuTaken => ("SKU_TAKEN", "sku"),
        Refusal::CategoryNotFound => ("CATEGORY_NOT_FOUND", "category_id"),
        Refusal::SlugNotFound => ("CATEGORY_NOT_FOUND", "slug"),
        Refusal::CategoryUnknown => ("CATEGORY_UNKNOWN", "category_id"),
        Refusal::CategoryChanged => ("CATEGORY_CHANGED", "etag"),
        Refusal::SlugTaken => ("SLUG_TAKEN", "slug"),
        Refusal::ContentDiffers => ("REQUEST_CONTENT_DIFFERS", "request_id"),
    }
}
