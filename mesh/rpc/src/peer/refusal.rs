//! Why a call is UNAUTHENTICATED, in words for whoever reads the caller's log.

use tonic::Code;

use super::{Namespace, SpiffeId};
use crate::Fault;

/// Why nobody is believed to make this call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the caller showed no certificate: this port takes calls by mutual TLS")]
    CertificateMissing,
    #[error("the caller's certificate says nothing about who it is: {0}")]
    CertificateUnnamed(&'static str),
    #[error("the caller is {id}, which is not in {namespace}")]
    Foreign { id: SpiffeId, namespace: Namespace },
    #[error("the sidecar did not say who calls")]
    XfccMissing,
    #[error("the sidecar's word on who calls cannot be understood")]
    XfccMalformed,
    #[error("the caller showed no service token: calls in plaintext need one")]
    TokenMissing,
    #[error("plaintext is taken on loopback only, and from the networks of SERVICE_TOKENS_FROM")]
    NotLoopback,
    #[error("the service token is malformed")]
    TokenMalformed,
    #[error("the service token is for {audience}, not for {here}")]
    TokenForAnother { audience: String, here: SpiffeId },
    #[error("the service token has expired")]
    TokenExpired,
    #[error("the service token is not valid yet: the clocks differ by more than 5 s")]
    TokenTooEarly,
    #[error("the service token is valid for longer than 60 s")]
    TokenTooLong,
    #[error("nobody here knows the service token's issuer")]
    TokenIssuerUnknown,
    #[error("the service token was not signed by its issuer")]
    TokenForged,
    #[error("the server cannot tell where the call comes from")]
    ConnectionUnknown,
}

impl Fault for Refusal {
    fn code(&self) -> Code {
        Code::Unauthenticated
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::CertificateMissing => "CERTIFICATE_MISSING",
            Self::CertificateUnnamed(_) => "CERTIFICATE_UNNAMED",
            Self::Foreign { .. } => "PEER_FOREIGN",
            Self::XfccMissing => "XFCC_MISSING",
            Self::XfccMalformed => "XFCC_MALFORMED",
            Self::TokenMissing => "TOKEN_MISSING",
            Self::NotLoopback => "PLAINTEXT_REFUSED",
            Self::TokenMalformed => "TOKEN_MALFORMED",
            Self::TokenForAnother { .. } => "TOKEN_FOR_ANOTHER",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::TokenTooEarly => "TOKEN_TOO_EARLY",
            Self::TokenTooLong => "TOKEN_TOO_LONG",
            Self::TokenIssuerUnknown => "TOKEN_ISSUER_UNKNOWN",
            Self::TokenForged => "TOKEN_FORGED",
            Self::ConnectionUnknown => "CONNECTION_UNKNOWN",
        }
    }
}
