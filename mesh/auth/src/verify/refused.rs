//! Why a token is refused.

/// Why nobody is believed to make a call. None of it says what was in the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// The header is no `Bearer …`.
    #[error("the authorization header holds no bearer token")]
    NotBearer,
    /// The token is no JWT of ours.
    #[error("the token is malformed")]
    Malformed,
    /// It is not signed with EdDSA: not at all, or with something else.
    #[error("the token is not signed with EdDSA")]
    Algorithm,
    /// No key of this name is in the set.
    #[error("nobody here knows the key that signed the token")]
    KeyUnknown,
    /// The signature is not that of the key.
    #[error("the token was not signed by the key that it names")]
    Forged,
    /// Somebody else issued it.
    #[error("the token is from another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// It begins later.
    #[error("the token is not valid yet: the clocks differ by more than 5 s")]
    TooEarly,
    /// It is good for longer than tokens of ours are.
    #[error("the token is valid for longer than 15 minutes")]
    TooLong,
    /// It has ended.
    #[error("the token has expired: refresh it")]
    Expired,
    /// The session, or all of the user's tokens until then, ended before it did.
    #[error("the token was revoked: sign in again")]
    Revoked,
    /// It is not known what was revoked, and the rule for that is to take no token.
    #[error("it is not known which tokens are revoked: try again later")]
    RevocationsUnknown,
}

impl Refused {
    /// A stable name of it, for programs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotBearer => "TOKEN_MISSING",
            Self::Malformed => "TOKEN_MALFORMED",
            Self::Algorithm => "TOKEN_ALGORITHM_REFUSED",
            Self::KeyUnknown => "TOKEN_KEY_UNKNOWN",
            Self::Forged => "TOKEN_FORGED",
            Self::Issuer => "TOKEN_ISSUER_UNKNOWN",
            Self::Audience => "TOKEN_FOR_ANOTHER",
            Self::TooEarly => "TOKEN_TOO_EARLY",
            Self::TooLong => "TOKEN_TOO_LONG",
            Self::Expired => "TOKEN_EXPIRED",
            Self::Revoked => "TOKEN_REVOKED",
            Self::RevocationsUnknown => "REVOCATIONS_UNKNOWN",
        }
    }

    /// Whether the same token may be good later: the caller need not sign in again.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::KeyUnknown | Self::TooEarly | Self::RevocationsUnknown)
    }
}
