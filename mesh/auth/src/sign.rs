//! The side of whoever signs users in.

use std::time::SystemTime;

use jsonwebtoken::{Algorithm, Header};
use mesh_runtime::Secret;
use uuid::Uuid;

use crate::{
    LIFE,
    claims::Claims,
    jwks::{Jwk, Jwks},
    keys::SigningKey,
    seconds,
};

/// Signs tokens with one key, and publishes others beside it.
///
/// Keys are rotated with overlap: a new key is published before it signs, so that every verifier
/// has it, and an old one is published until the last token that it signed has expired.
#[derive(Clone, Debug)]
pub struct Signer {
    issuer: String,
    audience: String,
    current: SigningKey,
    beside: Vec<Jwk>,
}

/// What a token is to say about a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    subject: Uuid,
    session: Uuid,
    roles: Vec<Box<str>>,
    permissions: Vec<Box<str>>,
}

/// A token could not be signed: the key is of no use to the library that signs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token could not be signed with the key {key}")]
pub struct NotSigned {
    /// The key's name.
    pub key: String,
}

impl Grant {
    /// Says that the user `subject` makes calls in `session`.
    pub fn new(subject: Uuid, session: Uuid) -> Self {
        Self { subject, session, roles: Vec::new(), permissions: Vec::new() }
    }

    /// Says which roles the user has.
    #[must_use]
    pub fn roles<R: Into<Box<str>>>(mut self, roles: impl IntoIterator<Item = R>) -> Self {
        self.roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// Says what the roles permit.
    #[must_use]
    pub fn permissions<P: Into<Box<str>>>(mut self, names: impl IntoIterator<Item = P>) -> Self {
        self.permissions = names.into_iter().map(Into::into).collect();
        self
    }
}

impl Signer {
    /// Signs with `current`, as `issuer`, for those who verify for `audience`.
    pub fn new(issuer: &str, audience: &str, current: SigningKey) -> Self {
        let (issuer, audience) = (issuer.to_owned(), audience.to_owned());
        Self { issuer, audience, current, beside: Vec::new() }
    }

    /// Publishes further keys: those that will sign next, and those that signed before.
    #[must_use]
    pub fn publishing(mut self, keys: impl IntoIterator<Item = Jwk>) -> Self {
        self.beside = keys.into_iter().filter(|key| key.id() != self.current.id()).collect();
        self
    }

    /// Signs a token that begins now.
    ///
    /// # Errors
    /// If the key is of no use.
    pub fn sign(&self, grant: &Grant) -> Result<Secret, NotSigned> {
        self.sign_at(grant, SystemTime::now())
    }

    /// Signs a token that begins at `begin`, and ends [`LIFE`] later.
    ///
    /// # Errors
    /// If the key is of no use.
    pub fn sign_at(&self, grant: &Grant, begin: SystemTime) -> Result<Secret, NotSigned> {
        let iat = seconds(begin);
        self.encode(&Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: grant.subject,
            sid: grant.session,
            iat,
            exp: iat + LIFE.as_secs(),
            roles: grant.roles.clone(),
            permissions: grant.permissions.clone(),
        })
    }

    pub(crate) fn encode(&self, claims: &Claims) -> Result<Secret, NotSigned> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.current.id().to_owned());
        let token = jsonwebtoken::encode(&header, claims, self.current.private());
        token.map(Secret::new).map_err(|_| NotSigned { key: self.current.id().to_owned() })
    }

    /// The public keys, the one that signs first.
    pub fn jwks(&self) -> Jwks {
        let current = std::iter::once(self.current.public());
        Jwks { keys: current.chain(&self.beside).cloned().collect() }
    }
}
