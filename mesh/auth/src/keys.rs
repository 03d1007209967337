//! The private half of a key.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use jsonwebtoken::EncodingKey;

use crate::jwks::Jwk;

/// An Ed25519 key that signs tokens. Cheap to clone; its `Debug` form shows its name only.
#[derive(Clone)]
pub struct SigningKey {
    public: Jwk,
    private: Arc<EncodingKey>,
    pkcs8: Arc<[u8]>,
}

/// Why something is of no use as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    /// The bytes hold something else.
    #[error("the bytes are no Ed25519 key in PKCS#8")]
    Unreadable,
    /// The system gave no randomness.
    #[error("no key could be made")]
    NotMade,
}

impl SigningKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn generate() -> Result<Self, NotAKey> {
        let pair = Ed25519KeyPair::generate().map_err(|_| NotAKey::NotMade)?;
        Self::of(&pair).map_err(|_| NotAKey::NotMade)
    }

    /// Reads a key from PKCS#8 (DER), with or without its public half.
    ///
    /// # Errors
    /// If the bytes hold something else.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, NotAKey> {
        let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|_| NotAKey::Unreadable)?;
        Self::of(&pair)
    }

    fn of(pair: &Ed25519KeyPair) -> Result<Self, NotAKey> {
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| NotAKey::Unreadable)?;
        Ok(Self {
            public: Jwk::ed25519(pair.public_key().as_ref()),
            private: Arc::new(EncodingKey::from_ed_der(der.as_ref())),
            pkcs8: der.as_ref().into(),
        })
    }

    /// The key's name.
    pub fn id(&self) -> &str {
        self.public.id()
    }

    /// The public half.
    pub fn public(&self) -> &Jwk {
        &self.public
    }

    /// The key as PKCS#8 (DER), for the one place that keeps it.
    pub fn expose_pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    pub(crate) fn private(&self) -> &EncodingKey {
        &self.private
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id()).finish_non_exhaustive()
    }
}
