//! The side of everybody who takes calls: a token is verified once, and remembered until it ends.

mod refused;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use crate::{
    LIFE, SKEW,
    claims::{Claims, Head},
    jwks::Jwks,
    revocations::{Revocations, WhenLost},
    seconds,
    user::User,
};

pub use refused::Refused;

/// Tokens that are remembered.
const REMEMBERED: usize = 16_384;
/// A token with a dozen permissions has 800 bytes.
const LONGEST: usize = 4096;

type Hash = [u8; 32];

/// Says who the user is that a token was signed for.
pub struct Verifier {
    issuer: String,
    audience: String,
    revocations: Arc<Revocations>,
    state: RwLock<State>,
    key_missed: Notify,
    most: usize,
}

#[derive(Default)]
struct State {
    keys: HashMap<Box<str>, DecodingKey>,
    /// The same as they were given.
    published: Jwks,
    /// Whether whoever signs has told them: then nobody else knows better.
    told: bool,
    /// Counts the sets of keys: what was verified by an earlier one is not remembered in a later.
    set: u64,
    known: HashMap<Hash, Arc<User>>,
}

impl Verifier {
    /// Takes tokens of `issuer` for `audience`, once it has been given [keys](Self::replace_keys).
    pub fn new(issuer: &str, audience: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            revocations: Arc::default(),
            state: RwLock::default(),
            key_missed: Notify::new(),
            most: REMEMBERED,
        }
    }

    /// Says what holds while nobody says what is revoked.
    #[must_use]
    pub fn when_lost(mut self, when_lost: WhenLost) -> Self {
        self.revocations = Arc::new(Revocations::new(when_lost));
        self
    }

    /// Takes tokens that a key of `keys` signed from now on, and no others; unless whoever signs has
    /// [told](Self::hear_keys) by which keys.
    pub fn replace_keys(&self, keys: &Jwks) {
        self.set_keys(keys, false);
    }

    /// The same, of keys that whoever signs has told. False if it takes them already.
    pub fn hear_keys(&self, keys: &Jwks) -> bool {
        self.set_keys(keys, true)
    }

    fn set_keys(&self, keys: &Jwks, told: bool) -> bool {
        let decoded = keys.keys.iter().filter_map(|key| {
            let decoding = DecodingKey::from_ed_components(key.x()).ok()?;
            Some((key.id().into(), decoding))
        });
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if (state.told && !told) || (told == state.told && *keys == state.published) {
            return false;
        }
        let (published, set) = (keys.clone(), state.set + 1);
        *state = State { keys: decoded.collect(), published, told, set, known: HashMap::new() };
        true
    }

    /// Waits until a token names a key that is not in the set: there may be newer keys.
    pub async fn key_missed(&self) {
        self.key_missed.notified().await;
    }

    /// What was revoked, to be told and asked.
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// Returns the user whose token is in an `authorization` header of this value.
    ///
    /// # Errors
    /// Why nobody is believed to make the call.
    pub fn verify(&self, header_value: &str) -> Result<Arc<User>, Refused> {
        self.verify_at(header_value, SystemTime::now())
    }

    /// [Verifies](Self::verify) as if it were `now`.
    ///
    /// # Errors
    /// Why nobody is believed to make the call.
    pub fn verify_at(&self, header_value: &str, now: SystemTime) -> Result<Arc<User>, Refused> {
        let token = bearer(header_value).ok_or(Refused::NotBearer)?;
        if token.len() > LONGEST {
            return Err(Refused::Malformed);
        }
        let hash = Sha256::digest(token).into();
        let user = match self.remembered(&hash) {
            Some(user) => user,
            None => self.examine(token, hash, now)?,
        };
        in_time(&user, seconds(now))?;
        self.revocations.check(&user)?;
        Ok(user)
    }

    fn remembered(&self, hash: &Hash) -> Option<Arc<User>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.known.get(hash).cloned()
    }

    /// Verifies a token for the first time.
    fn examine(&self, token: &str, hash: Hash, now: SystemTime) -> Result<Arc<User>, Refused> {
        let head = head(token)?;
        if head.alg != "EdDSA" {
            return Err(Refused::Algorithm);
        }
        if head.crit.is_some() {
            return Err(Refused::Malformed);
        }
        let kid = head.kid.ok_or(Refused::Malformed)?;
        let (key, set) = self.key(&kid)?;
        let claims = signed(token, &key)?;
        if claims.iss != self.issuer {
            return Err(Refused::Issuer);
        }
        if claims.aud != self.audience {
            return Err(Refused::Audience);
        }
        if claims.exp.saturating_sub(claims.iat) > LIFE.as_secs() {
            return Err(Refused::TooLong);
        }
        let user = Arc::new(User::new(claims, kid.into()));
        in_time(&user, seconds(now))?;
        self.remember(hash, set, &user, seconds(now));
        Ok(user)
    }

    fn key(&self, kid: &str) -> Result<(DecodingKey, u64), Refused> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let key = state.keys.get(kid).cloned();
        let Some(key) = key else {
            self.key_missed.notify_one();
            return Err(Refused::KeyUnknown);
        };
        Ok((key, state.set))
    }

    fn remember(&self, hash: Hash, set: u64, user: &Arc<User>, now: u64) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.set != set {
            return;
        }
        if state.known.len() >= self.most {
            state.known.retain(|_, user| user.expires_second() + SKEW.as_secs() >= now);
        }
        if state.known.len() >= self.most {
            // More users than expected: each is verified again, and memory stays bounded.
            state.known.clear();
        }
        state.known.insert(hash, Arc::clone(user));
    }

    #[cfg(test)]
    pub(crate) fn remembering(self, most: usize) -> Self {
        Self { most, ..self }
    }

    #[cfg(test)]
    pub(crate) fn remembers(&self) -> usize {
        self.state.read().unwrap_or_else(PoisonError::into_inner).known.len()
    }
}

/// The token of an `authorization` header (RFC 6750 §2.1); the scheme's case does not matter.
fn bearer(header_value: &str) -> Option<&str> {
    let (scheme, token) = header_value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

fn head(token: &str) -> Result<Head, Refused> {
    let (head, _) = token.split_once('.').ok_or(Refused::Malformed)?;
    let head = BASE64_URL_SAFE_NO_PAD.decode(head).map_err(|_| Refused::Malformed)?;
    serde_json::from_slice(&head).map_err(|_| Refused::Malformed)
}

/// Checks the signature alone: what the claims mean is ours to say, with reasons.
fn signed(token: &str, key: &DecodingKey) -> Result<Claims, Refused> {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_aud) = (false, false);
    match jsonwebtoken::decode::<Claims>(token, key, &validation) {
        Ok(token) => Ok(token.claims),
        Err(error) => Err(match error.kind() {
            ErrorKind::InvalidSignature => Refused::Forged,
            ErrorKind::InvalidAlgorithm => Refused::Algorithm,
            _ => Refused::Malformed,
        }),
    }
}

fn in_time(user: &User, now: u64) -> Result<(), Refused> {
    let skew = SKEW.as_secs();
    if user.issued_second() > now + skew {
        return Err(Refused::TooEarly);
    }
    // The last second of a token is the one before `exp` (RFC 7519 §4.1.4).
    if now >= user.expires_second() + skew {
        return Err(Refused::Expired);
    }
    Ok(())
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}
