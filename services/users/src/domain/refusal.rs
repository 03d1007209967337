//! Why a request is not carried out, although it is well-formed.

use std::time::Duration;

use thiserror::Error;

/// A rule that a request breaks as things are. None of them says what was in the request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("there is no such account")]
    UserNotFound,
    #[error("the account was changed by somebody else")]
    UserChanged,
    #[error("the account is deactivated")]
    UserDeactivated,
    #[error("another account has this address")]
    EmailTaken,
    #[error("the current password is another")]
    PasswordWrong,
    #[error("address and password are not those of an account that can be used")]
    SignInRefused,
    /// So many seconds may pass before the next attempt, of which these fields tell.
    #[error("too many attempts failed: try again in {} s", wait.as_secs())]
    TooManyAttempts { wait: Duration, fields: &'static [&'static str] },
    #[error("the token is none of ours, was used, or has expired")]
    MailTokenRefused,
    #[error("there is no such mail, or nothing is to be delivered any more")]
    MailNotFound,
    #[error("the refresh token is none of ours, has expired, or its session ended: sign in again")]
    RefreshTokenRefused,
    #[error("the refresh token was used before, so the session has ended: sign in again")]
    RefreshTokenReused,
    #[error("the person has no such session")]
    SessionNotFound,
    #[error("there is no such role")]
    RoleNotFound,
    #[error("this request_id was used for other content")]
    ContentDiffers,
}
