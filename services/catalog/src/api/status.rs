//! What a failure tells the caller. The only such file of the service.

use mesh_rpc::{Fault, Invalid};
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::ErrorDetails;

use crate::domain::Sku;

const DOMAIN: &str = "catalog.shop";

/// Everything that can keep a call from its answer.
#[derive(Debug, Error)]
pub enum Failure {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("nobody sells {}", .sku.as_str())]
    NotFound { sku: Sku },
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
            Self::NotFound { .. } => Code::NotFound,
            Self::Database(sqlx::Error::PoolTimedOut) => Code::ResourceExhausted,
            Self::Database(sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }) => {
                Code::Internal
            }
            Self::Database(_) => Code::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(invalid) => invalid.reason(),
            Self::NotFound { .. } => "PRODUCT_NOT_FOUND",
            Self::Database(sqlx::Error::PoolTimedOut) => "OVERLOADED",
            Self::Database(_) => "DATABASE_UNAVAILABLE",
        }
    }

    fn describe(&self, details: &mut ErrorDetails) {
        if let Self::Invalid(invalid) = self {
            invalid.describe(details);
        }
    }
}
