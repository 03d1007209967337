//! The caller's side: a token per target, signed anew at half its life.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use http::{HeaderMap, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};

use super::{Claims, HEADER, KeyError, LIFE, keys, seconds};
use crate::peer::{NotSpiffe, SpiffeId};

/// The private key of a service, with which it says who it is. Cheap to clone.
#[derive(Clone)]
pub struct ServiceKey {
    id: SpiffeId,
    key: Arc<EncodingKey>,
}

/// The tokens of one caller for one target.
#[derive(Debug)]
pub struct Tokens {
    key: ServiceKey,
    audience: SpiffeId,
    current: Mutex<Option<Minted>>,
}

struct Minted {
    header: HeaderValue,
    /// Seconds since 1970.
    renew_at: u64,
    ends: u64,
}

impl ServiceKey {
    /// Reads the Ed25519 key of the service `id` from a PKCS#8 PEM file.
    ///
    /// # Errors
    /// If the file holds no such key.
    pub fn read(id: SpiffeId, path: &Path) -> Result<Self, KeyError> {
        let unusable = |why: String| KeyError { path: path.to_owned(), why };
        let pem = PrivatePkcs8KeyDer::from_pem_file(path);
        let pem = pem.map_err(|error| unusable(error.to_string()))?;
        let key = EncodingKey::from_ed_der(pem.secret_pkcs8_der());
        let key = Self { id, key: Arc::new(key) };
        // The key is parsed when it first signs: better now than with the first call.
        key.sign(&key.id, SystemTime::now()).map_err(|error| unusable(error.to_string()))?;
        Ok(key)
    }

    /// Reads the key of the service `name` from a PKCS#8 PEM file, and its id from `keys`, the JWKS
    /// in which the public ones are.
    ///
    /// # Errors
    /// If the file holds no such key, or the set does not say which id the service has.
    pub fn named(name: &str, path: &Path, keys: &Path) -> Result<Self, KeyError> {
        Self::read(keys::id_of(name, keys)?, path)
    }

    /// Who signs with it.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// The tokens for the service `target` in this service's namespace.
    ///
    /// # Errors
    /// If the name cannot be part of an id.
    pub fn tokens_for(&self, target: &str) -> Result<Tokens, NotSpiffe> {
        let audience = self.id.namespace().id(target)?;
        Ok(Tokens { key: self.clone(), audience, current: Mutex::new(None) })
    }

    /// A token for `audience` that begins at `now`.
    pub(super) fn sign(
        &self,
        audience: &SpiffeId,
        now: SystemTime,
    ) -> jsonwebtoken::errors::Result<String> {
        let iat = seconds(now);
        let claims = Claims {
            iss: self.id.to_string(),
            aud: audience.to_string(),
            iat,
            exp: iat + LIFE.as_secs(),
        };
        self.encode(&claims)
    }

    pub(super) fn encode(&self, claims: &Claims) -> jsonwebtoken::errors::Result<String> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.id.to_string());
        jsonwebtoken::encode(&header, claims, &self.key)
    }
}

impl Tokens {
    /// Puts a token into the headers of a call, in place of any that is there.
    ///
    /// Costs a lock that is held for a comparison; every 30 s one caller also signs, which takes
    /// some tens of microseconds while the others wait.
    pub fn attach(&self, headers: &mut HeaderMap) {
        match self.header(SystemTime::now()) {
            Some(header) => drop(headers.insert(HEADER, header)),
            // The call goes without, and the callee says what is missing.
            None => drop(headers.remove(HEADER)),
        }
    }

    pub(super) fn header(&self, now: SystemTime) -> Option<HeaderValue> {
        let seconds = seconds(now);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(minted) = &*current
            && seconds < minted.renew_at
            // The clock may have been set back.
            && seconds + LIFE.as_secs() >= minted.ends
        {
            return Some(minted.header.clone());
        }
        *current = self.mint(now);
        current.as_ref().map(|minted| minted.header.clone())
    }

    fn mint(&self, now: SystemTime) -> Option<Minted> {
        let token = match self.key.sign(&self.audience, now) {
            Ok(token) => token,
            Err(error) => {
                tracing::error!(audience = %self.audience, %error, "service token not signed");
                return None;
            }
        };
        let mut header = HeaderValue::try_from(token).ok()?;
        header.set_sensitive(true);
        let (begin, life) = (seconds(now), LIFE.as_secs());
        Some(Minted { header, renew_at: begin + life / 2, ends: begin + life })
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minted").field("ends", &self.ends).finish_non_exhaustive()
    }
}
