//! What a failure tells the caller. The only such file of the service.

use std::collections::HashMap;

use mesh_rpc::{Fault, Invalid};
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::ErrorDetails;

const DOMAIN: &str = "storefront.shop";

/// Everything of this service's own that can keep a call from its answer.
#[derive(Debug, Error)]
pub enum Failure {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("forgotten here, but other replicas may not have heard of it: {0:#}")]
    NotTold(#[from] anyhow::Error),
}

pub fn to_status(failure: impl Into<Failure>) -> Status {
    mesh_rpc::status(DOMAIN, &failure.into())
}

/// What a page's own service said, without which there is no page: code, words and details, and
/// nothing of how the call went.
pub fn passed_on(status: &Status) -> Status {
    Status::with_details(status.code(), status.message(), status.details().to_vec().into())
}

impl Fault for Failure {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(invalid) => invalid.code(),
            Self::NotTold(_) => Code::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(invalid) => invalid.reason(),
            Self::NotTold(_) => "REPLICAS_NOT_TOLD",
        }
    }

    fn describe(&self, details: &mut ErrorDetails) {
        if let Self::Invalid(invalid) = self {
            invalid.describe(details);
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::Invalid(invalid) => invalid.metadata(),
            Self::NotTold(_) => HashMap::new(),
        }
    }
}
