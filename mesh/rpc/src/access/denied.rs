//! Why a caller is not let in, in words for whoever reads the caller's log.

use std::sync::LazyLock;

use mesh_auth::Refused;
use opentelemetry::metrics::Counter;
use tonic::{Code, Status};

use crate::{
    Fault, Refusal,
    fault::{STACK, status},
    refusal,
};

pub(super) static REFUSED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.access.refused")
        .with_description("Calls refused because the access rule lets their caller not in")
        .build()
});

/// Why a call is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denied {
    #[error("the call says nothing of its user: it needs a token in `authorization: Bearer …`")]
    TokenMissing,
    #[error("{0}")]
    Token(Refused),
    #[error("nobody here knows who signs users' tokens")]
    NoUsers,
    #[error("the user may not do this")]
    User,
    #[error("the request is about another user")]
    Foreign,
    #[error("the service does not declare that it calls this")]
    Service,
}

impl Denied {
    pub(super) fn status(self) -> Status {
        let mut status = status(STACK, &self);
        let refused = match self.code() {
            Code::PermissionDenied => Refusal::AccessDenied,
            _ => Refusal::Unauthenticated,
        };
        refusal::vouch(&mut status, refused);
        status
    }
}

impl Fault for Denied {
    fn code(&self) -> Code {
        match self {
            Self::TokenMissing | Self::Token(_) | Self::NoUsers => Code::Unauthenticated,
            Self::User | Self::Foreign | Self::Service => Code::PermissionDenied,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::TokenMissing => "TOKEN_MISSING",
            Self::Token(refused) => refused.reason(),
            Self::NoUsers => "TOKEN_ISSUER_UNKNOWN",
            Self::User | Self::Foreign | Self::Service => "ACCESS_DENIED",
        }
    }
}
