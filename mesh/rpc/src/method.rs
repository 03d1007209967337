//! Names of RPCs for metrics: few, shared, and never a stranger's invention.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use opentelemetry::StringValue;
use tonic::Code;

/// What an RPC counts as that is in no contract.
pub(crate) const OTHER: &str = "_OTHER";
/// A client calls what it was compiled with; more names than this are a fault.
const MAX_NAMES: usize = 512;

/// Names that a client has called so far.
#[derive(Debug, Default)]
pub(crate) struct Names(RwLock<HashMap<Box<str>, StringValue>>);

impl Names {
    /// Returns the shared name of `package.Service/Method`.
    pub(crate) fn get(&self, path: &str) -> StringValue {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(path) {
            return name.clone();
        }
        drop(known);
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MAX_NAMES {
            return StringValue::from(OTHER);
        }
        let name = StringValue::from(Arc::<str>::from(path));
        names.entry(path.into()).or_insert(name).clone()
    }
}

/// The code's name as metrics spell it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The code that a response's headers or trailers tell, if they do.
pub(crate) fn code_of(headers: &http::HeaderMap) -> Option<Code> {
    headers.get(tonic::Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}
