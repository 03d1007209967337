//! What a failure tells the caller. The only such file of the service.

use std::time::Duration;

use mesh_auth::{NotHashed, NotSigned};
use mesh_log::SubmitError;
use mesh_rpc::{Fault, Invalid};
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::ErrorDetails;

use crate::{app, domain::Refusal};

const DOMAIN: &str = "users.shop";
/// After which a password may be checked that found too many others.
const BUSY: Duration = Duration::from_secs(1);

/// Everything that can keep a call from its answer.
#[derive(Debug, Error)]
pub enum Failure {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    NotHashed(#[from] NotHashed),
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
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
            app::Error::NotHashed(error) => Self::NotHashed(error),
            app::Error::NotSigned(error) => Self::NotSigned(error),
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
                Refusal::UserNotFound
                | Refusal::MailNotFound
                | Refusal::SessionNotFound
                | Refusal::RoleNotFound => Code::NotFound,
                Refusal::UserChanged => Code::Aborted,
                Refusal::EmailTaken => Code::AlreadyExists,
                Refusal::SignInRefused
                | Refusal::RefreshTokenRefused
                | Refusal::RefreshTokenReused => Code::Unauthenticated,
                Refusal::TooManyAttempts { .. } => Code::ResourceExhausted,
                Refusal::UserDeactivated
                | Refusal::PasswordWrong
                | Refusal::MailTokenRefused
                | Refusal::ContentDiffers => Code::FailedPrecondition,
            },
            Self::NotHashed(NotHashed::Busy) => Code::ResourceExhausted,
            Self::NotHashed(NotHashed::Failed) | Self::NotSigned(_) => Code::Internal,
            Self::NotDone(error) => Code::from_i32(error.code()),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(invalid) => invalid.reason(),
            Self::Refused(refusal) => refused(refusal).0,
            Self::NotHashed(NotHashed::Busy) => "PASSWORDS_BUSY",
            Self::NotHashed(NotHashed::Failed) => "PASSWORD_NOT_HASHED",
            Self::NotSigned(_) => "TOKEN_NOT_SIGNED",
            Self::NotDone(error) => error.reason(),
        }
    }

    fn describe(&self, details: &mut ErrorDetails) {
        match self {
            Self::Invalid(invalid) => invalid.describe(details),
            Self::Refused(refusal) => {
                for field in refused(refusal).1 {
                    details.add_bad_request_violation(*field, refusal.to_string());
                }
                if let Refusal::TooManyAttempts { wait, .. } = refusal {
                    details.set_retry_info(Some(*wait));
                }
            }
            Self::NotHashed(_) => {
                details.set_retry_info(Some(BUSY));
            }
            Self::NotSigned(_) | Self::NotDone(_) => {}
        }
    }
}

/// The stable cause, and the fields of the request that are to blame.
fn refused(refusal: &Refusal) -> (&'static str, &'static [&'static str]) {
    match refusal {
        Refusal::UserNotFound => ("USER_NOT_FOUND", &["user_id"]),
        Refusal::UserChanged => ("USER_CHANGED", &["etag"]),
        Refusal::UserDeactivated => ("USER_DEACTIVATED", &["user_id"]),
        Refusal::EmailTaken => ("EMAIL_TAKEN", &["email"]),
        Refusal::PasswordWrong => ("PASSWORD_WRONG", &["current_password"]),
        Refusal::SignInRefused => ("SIGN_IN_REFUSED", &["email", "password"]),
        Refusal::TooManyAttempts { fields, .. } => ("TOO_MANY_ATTEMPTS", fields),
        Refusal::MailTokenRefused => ("MAIL_TOKEN_REFUSED", &["token"]),
        Refusal::MailNotFound => ("MAIL_NOT_FOUND", &["mail_id"]),
        Refusal::RefreshTokenRefused => ("REFRESH_TOKEN_REFUSED", &["refresh_token"]),
        Refusal::RefreshTokenReused => ("REFRESH_TOKEN_REUSED", &["refresh_token"]),
        Refusal::SessionNotFound => ("SESSION_NOT_FOUND", &["session_id"]),
        Refusal::RoleNotFound => ("ROLE_NOT_FOUND", &["role"]),
        Refusal::ContentDiffers => ("REQUEST_CONTENT_DIFFERS", &["request_id"]),
    }
}
