//! Service tokens: who calls in plaintext on loopback, where no certificate says it.
//!
//! A token is a JWT signed with EdDSA, valid for 60 s, from one service (`iss`) for one other
//! (`aud`), both as SPIFFE ids. Keys are made by whoever starts the services; each has its own
//! private one, and a JWKS that names the public key of each by its id (`kid`).
//!
//! ```
//! use http::HeaderMap;
//! use mesh_rpc::peer::token::ServiceKey;
//!
//! # fn calls(path: &std::path::Path) -> anyhow::Result<()> {
//! let key = ServiceKey::read("spiffe://mesh.local/orders".parse()?, path)?;
//! let tokens = key.tokens_for("payments")?;
//!
//! let mut headers = HeaderMap::new();
//! tokens.attach(&mut headers);
//! # Ok(())
//! # }
//! ```
//!
//! A token that is stolen serves for a minute at most, at the one target, from this machine.

mod keys;
mod sign;
mod verify;

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::HeaderName;
use serde::{Deserialize, Serialize};

pub use sign::{ServiceKey, Tokens};
pub use verify::Verifier;

/// The header that a token travels in. Not `authorization`: that is the user's.
pub const HEADER: HeaderName = HeaderName::from_static("x-mesh-service-token");

/// How long a token is valid.
pub const LIFE: Duration = Duration::from_secs(60);

/// By how much the clocks of two processes may differ.
const SKEW: u64 = 5;

/// Why a key file is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not usable: {why}", path.display())]
pub struct KeyError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// What a token says (RFC 7519 §4.1). Times are seconds since 1970.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    iat: u64,
    exp: u64,
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
