//! The callee's side: a token is verified once, and remembered until it expires.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use ipnet::IpNet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use tokio::time::Instant;

use super::{
    Claims, KeyError, LIFE, SKEW,
    keys::{self, Keys},
    seconds,
};
use crate::peer::{SpiffeId, refusal::Refusal};

/// Tokens that are remembered: twice as many as a service has callers' processes, by far.
const REMEMBERED: usize = 1024;
/// A token of ours has 400 bytes.
const LONGEST: usize = 2048;
/// How often the keys may be read because somebody names one that is not there.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Says who signed a token for this service.
pub struct Verifier {
    here: SpiffeId,
    /// From where tokens are believed in plaintext, besides this machine.
    networks: Vec<IpNet>,
    file: PathBuf,
    keys: RwLock<Keys>,
    read_at: Mutex<Instant>,
    known: RwLock<HashMap<Box<str>, Known>>,
}

/// A token that was verified.
struct Known {
    issuer: SpiffeId,
    /// Seconds since 1970.
    until: u64,
}

impl Verifier {
    /// Verifies tokens for the service `here` by the public keys in `file`, a JWKS. It is read
    /// again when a token names a key that is not in it, at most once a second.
    ///
    /// # Errors
    /// If the file cannot be used now.
    pub fn read(here: SpiffeId, file: &Path) -> Result<Self, KeyError> {
        let keys = RwLock::new(keys::read(file)?);
        let (read_at, known) = (Mutex::new(Instant::now()), RwLock::default());
        Ok(Self { here, networks: Vec::new(), file: file.to_owned(), keys, read_at, known })
    }

    /// Believes tokens in plaintext from these networks as well, not from loopback alone: whoever can
    /// listen there can use a token for the rest of its minute.
    #[must_use]
    pub fn believing(self, networks: &[IpNet]) -> Self {
        Self { networks: networks.to_vec(), ..self }
    }

    /// Whether a token that comes from there in plaintext is looked at.
    pub(in crate::peer) fn listens_to(&self, from: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&from))
    }

    /// Returns who signed the token.
    pub(in crate::peer) fn verify(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<SpiffeId, Refusal> {
        let now = seconds(now);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(token) {
            if now > known.until {
                return Err(Refusal::TokenExpired);
            }
            return Ok(known.issuer.clone());
        }
        drop(known);
        let (issuer, until) = self.examine(token, now)?;
        self.remember(token, Known { issuer: issuer.clone(), until }, now);
        Ok(issuer)
    }

    /// Verifies a token for the first time. Returns the issuer, and until when it is good.
    fn examine(&self, token: &str, now: u64) -> Result<(SpiffeId, u64), Refusal> {
        if token.len() > LONGEST {
            return Err(Refusal::TokenMalformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::TokenMalformed)?;
        let kid = header.kid.ok_or(Refusal::TokenMalformed)?;
        let (issuer, key) = self.key(&kid).ok_or(Refusal::TokenIssuerUnknown)?;
        let claims = signed(token, &key)?;
        // Whoever has a key speaks for its owner, and for nobody else.
        if claims.iss != issuer.as_str() {
            return Err(Refusal::TokenForged);
        }
        if claims.aud != self.here.as_str() {
            return Err(Refusal::TokenForAnother { audience: claims.aud, here: self.here.clone() });
        }
        if claims.exp.saturating_sub(claims.iat) > LIFE.as_secs() {
            return Err(Refusal::TokenTooLong);
        }
        if claims.iat > now + SKEW {
            return Err(Refusal::TokenTooEarly);
        }
        let until = claims.exp.saturating_add(SKEW);
        if now > until {
            return Err(Refusal::TokenExpired);
        }
        Ok((issuer, until))
    }

    fn key(&self, kid: &str) -> Option<(SpiffeId, DecodingKey)> {
        let find = || {
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            keys.get(kid).cloned()
        };
        find().or_else(|| {
            self.read_again();
            find()
        })
    }

    fn read_again(&self) {
        let mut read_at = self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        if read_at.elapsed() < READ_AGAIN {
            return;
        }
        *read_at = Instant::now();
        match keys::read(&self.file) {
            Ok(keys) => *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys,
            Err(error) => tracing::warn!(%error, "service keys not read again"),
        }
    }

    #[cfg(test)]
    pub(super) fn remembers(&self) -> usize {
        self.known.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn remember(&self, token: &str, verified: Known, now: u64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.retain(|_, known| known.until >= now);
        }
        if known.len() >= REMEMBERED {
            // More callers than expected: each is verified again, and memory stays bounded.
            known.clear();
        }
        known.insert(token.into(), verified);
    }
}

/// Checks the signature alone: what the claims mean is ours to say, with reasons.
fn signed(token: &str, key: &DecodingKey) -> Result<Claims, Refusal> {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_aud) = (false, false);
    match jsonwebtoken::decode::<Claims>(token, key, &validation) {
        Ok(token) => Ok(token.claims),
        Err(error) => Err(match error.kind() {
            ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => Refusal::TokenForged,
            _ => Refusal::TokenMalformed,
        }),
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("here", &self.here).finish_non_exhaustive()
    }
}
