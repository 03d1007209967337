//! Who the user is: tokens that say it, and those who check them.
//!
//! Whoever signs users in has a [`Signer`]; its public keys are a [`Jwks`]. Everybody else has a
//! [`Verifier`], which takes the `authorization` header of a call and returns the [`User`], or why
//! nobody is believed:
//!
//! ```
//! use mesh_auth::{Grant, Refused, Signer, SigningKey, Verifier};
//! use uuid::Uuid;
//!
//! let signer = Signer::new("https://users.example", "shop", SigningKey::generate()?);
//! let verifier = Verifier::new("https://users.example", "shop");
//! verifier.replace_keys(&signer.jwks());
//!
//! let (ada, session) = (Uuid::now_v7(), Uuid::now_v7());
//! let grant = Grant::new(ada, session).roles(["support"]).permissions(["orders.manage"]);
//! let token = signer.sign(&grant)?;
//!
//! let user = verifier.verify(&format!("Bearer {}", token.expose()))?;
//! assert_eq!(user.subject(), ada);
//! assert!(user.has_permission("orders.manage") && !user.has_permission("catalog.manage"));
//!
//! verifier.revocations().revoke_session(session, user.expires());
//! let refused = verifier.verify(&format!("Bearer {}", token.expose()));
//! assert_eq!(refused.unwrap_err(), Refused::Revoked);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A token is a JWT (RFC 7519) signed with EdDSA, valid for [`LIFE`]; nothing else is taken: no
//! other algorithm, issuer or audience, no key that is not in the set. It is verified once and then
//! known by its hash; whether it was revoked is asked each time.
#![warn(missing_docs)]

mod bucket;
mod claims;
mod jwks;
mod keys;
mod passwords;
mod published;
mod revocations;
mod sign;
mod stamps;
mod user;
mod verify;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use bucket::{BUCKET, NotTold, RevocationTeller};
pub use jwks::{Jwk, Jwks};
pub use keys::{NotAKey, SigningKey};
pub use passwords::{NotHashed, Passwords};
pub use published::{KEYS_BUCKET, KeyTeller, Told};
pub use revocations::{NotARule, Revocations, WhenLost};
pub use sign::{Grant, NotSigned, Signer};
pub use stamps::Stamps;
pub use user::User;
pub use verify::{Refused, Verifier};

/// How long a token is valid.
pub const LIFE: Duration = Duration::from_secs(15 * 60);

/// By how much the clocks of the one who signs and the one who verifies may differ.
pub const SKEW: Duration = Duration::from_secs(5);

/// How long it is kept that something is revoked: until the last token has expired that it ends, by
/// whosever clock.
pub const KEPT: Duration = Duration::from_secs(LIFE.as_secs() + 4 * SKEW.as_secs());

/// Seconds since 1970, as tokens count.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
