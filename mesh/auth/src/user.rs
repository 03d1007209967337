//! Who makes a call, as their token says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::claims::Claims;

/// A user whose token was verified. In the extensions of a request as `Arc<User>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    subject: Uuid,
    session: Uuid,
    roles: Box<[Box<str>]>,
    permissions: Box<[Box<str>]>,
    key_id: Box<str>,
    issued: u64,
    expires: u64,
}

impl User {
    pub(crate) fn new(claims: Claims, key_id: Box<str>) -> Self {
        Self {
            subject: claims.sub,
            session: claims.sid,
            roles: claims.roles.into(),
            permissions: claims.permissions.into(),
            key_id,
            issued: claims.iat,
            expires: claims.exp,
        }
    }

    /// Who it is.
    pub fn subject(&self) -> Uuid {
        self.subject
    }

    /// The session that the token belongs to: one sign-in, on one device.
    pub fn session(&self) -> Uuid {
        self.session
    }

    /// The names of the user's roles when the token was signed.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.iter().map(AsRef::as_ref)
    }

    /// What the roles permitted when the token was signed.
    pub fn permissions(&self) -> impl Iterator<Item = &str> {
        self.permissions.iter().map(AsRef::as_ref)
    }

    /// Whether the user may do what `permission` names.
    pub fn has_permission(&self, permission: &str) -> bool {
        self.permissions().any(|held| held == permission)
    }

    /// The key that signed the token.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// When the token was signed, to the second.
    pub fn issued(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.issued)
    }

    /// When the token ends, to the second.
    pub fn expires(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.expires)
    }

    pub(crate) fn issued_second(&self) -> u64 {
        self.issued
    }

    pub(crate) fn expires_second(&self) -> u64 {
        self.expires
    }
}
