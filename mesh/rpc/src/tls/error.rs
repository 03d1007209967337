//! Why there is no connection, in words that name the cause.

use std::{io, path::PathBuf, time::Duration};

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError};

use crate::peer::SpiffeId;

/// Why a connection could not be made secure.
///
/// It has no source: it says itself what the library under it said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The peer ended the handshake with an alert, named as RFC 8446 names it: it does not accept
    /// our certificate.
    #[error("the peer refused our certificate: {0}")]
    Refused(&'static str),
    /// We ended the handshake: the peer's certificate has ended, or a stranger signed it.
    #[error("the peer's certificate is not accepted: {0}")]
    NotAccepted(&'static str),
    /// The certificate is good, but somebody else's.
    #[error("the server is {found}, not {expected}")]
    WrongIdentity {
        /// Whom we called.
        expected: SpiffeId,
        /// What the certificate says, or that it names nobody.
        found: String,
    },
    /// What came is not TLS.
    #[error("the peer does not speak TLS")]
    Plaintext,
    /// Nothing, or too little, came in time.
    #[error("no TLS handshake within {0:?}")]
    TooSlow(Duration),
    /// The connection broke.
    #[error("the connection broke during the TLS handshake: {0}")]
    Broken(io::ErrorKind),
    /// Anything else that TLS has to say.
    #[error("TLS failed: {0}")]
    Failed(String),
}

/// Why files do not make an identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// A file is missing or unreadable.
    #[error("{} cannot be read: {why}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// A file holds something else.
    #[error("{} is not usable: {why}", path.display())]
    Unusable {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// They do not belong together: one of them was replaced a moment before the other.
    #[error("the key in {} is not the certificate's", key.display())]
    Mismatch {
        /// Where the key is.
        key: PathBuf,
    },
}

impl TlsError {
    /// Whether one side does not accept who the other says it is: for a caller, UNAUTHENTICATED.
    /// Everything else is a matter of reaching the right port.
    pub fn is_about_identity(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::NotAccepted(_) | Self::WrongIdentity { .. })
    }

    /// What metrics count it as.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused_by_peer",
            Self::NotAccepted(why) => why,
            Self::WrongIdentity { .. } => "wrong_identity",
            Self::Plaintext => "plaintext",
            Self::TooSlow(_) => "timeout",
            Self::Broken(_) => "broken",
            Self::Failed(_) => "failed",
        }
    }

    /// Reads it out of what a TLS stream returned.
    pub(crate) fn of(error: &io::Error) -> Self {
        let inner = error.get_ref();
        if let Some(error) = inner.and_then(|error| error.downcast_ref::<Self>()) {
            return error.clone();
        }
        match inner.and_then(|error| error.downcast_ref::<Error>()) {
            Some(error) => of_rustls(error),
            None => Self::Broken(error.kind()),
        }
    }
}

fn of_rustls(error: &Error) -> TlsError {
    match error {
        Error::AlertReceived(alert) if is_about_certificates(*alert) => {
            TlsError::Refused(alert_name(*alert))
        }
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => inner
            .downcast_ref::<TlsError>()
            .cloned()
            .unwrap_or_else(|| TlsError::Failed(error.to_string())),
        Error::InvalidCertificate(why) => TlsError::NotAccepted(alert_name(why.clone().into())),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => TlsError::Plaintext,
        other => TlsError::Failed(other.to_string()),
    }
}

fn is_about_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            // A signature in the chain is not its issuer's.
            | AlertDescription::DecryptError
            | AlertDescription::CertificateRequired
    )
}

/// The alert's name in RFC 8446 §6.
fn alert_name(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::BadCertificate => "bad_certificate",
        AlertDescription::UnsupportedCertificate => "unsupported_certificate",
        AlertDescription::CertificateRevoked => "certificate_revoked",
        AlertDescription::CertificateExpired => "certificate_expired",
        AlertDescription::CertificateUnknown => "certificate_unknown",
        AlertDescription::UnknownCA => "unknown_ca",
        AlertDescription::AccessDenied => "access_denied",
        AlertDescription::DecryptError => "decrypt_error",
        AlertDescription::CertificateRequired => "certificate_required",
        _ => "handshake_failure",
    }
}
