//! What a token says.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The registered claims (RFC 7519 §4.1) that we use, and three of ours. Times are seconds since
/// 1970.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    /// The user.
    #[serde(with = "text")]
    pub(crate) sub: Uuid,
    /// The session, which ends when the user signs out.
    #[serde(with = "text")]
    pub(crate) sid: Uuid,
    pub(crate) iat: u64,
    pub(crate) exp: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) roles: Vec<Box<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) permissions: Vec<Box<str>>,
}

/// What is said about the signature (RFC 7515 §4.1).
#[derive(Debug, Deserialize)]
pub(crate) struct Head {
    pub(crate) alg: String,
    pub(crate) kid: Option<String>,
    /// Extensions that whoever does not know them must refuse (RFC 7515 §4.1.11): we know none.
    pub(crate) crit: Option<serde_json::Value>,
}

/// Ids as JSON strings.
mod text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Uuid, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}
