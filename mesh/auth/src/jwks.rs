//! Public keys: a JSON Web Key Set (RFC 7517) of Ed25519 keys (RFC 8037).

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A set of public keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Jwks {
    /// The keys, the one that signs first.
    pub keys: Vec<Jwk>,
}

/// One public key that signs with EdDSA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    kty: String,
    crv: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    kid: String,
    x: String,
}

/// What a set holds, as far as it must be understood to tell our keys from others.
#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

impl Jwks {
    /// Reads a set. Keys that are no Ed25519 keys for signatures are passed over, as RFC 7517 §5
    /// asks.
    ///
    /// # Errors
    /// If the text is no key set.
    pub fn from_json(text: &[u8]) -> Result<Self, serde_json::Error> {
        let set: Set = serde_json::from_slice(text)?;
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        Ok(Self { keys: keys.filter(Jwk::signs_with_ed25519).collect() })
    }

    /// The set as JSON.
    pub fn to_json(&self) -> String {
        serde_json::json!({ "keys": self.keys }).to_string()
    }
}

impl Jwk {
    /// The key whose public half is `bytes`, named by its thumbprint (RFC 7638).
    pub(crate) fn ed25519(bytes: &[u8]) -> Self {
        let x = BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            alg: Some("EdDSA".to_owned()),
            purpose: Some("sig".to_owned()),
            kid: BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(members)),
            x,
        }
    }

    /// The key's name, which each token signed with it carries.
    pub fn id(&self) -> &str {
        &self.kid
    }

    /// The public key, base64url.
    pub fn x(&self) -> &str {
        &self.x
    }

    fn signs_with_ed25519(&self) -> bool {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&self.x);
        self.kty == "OKP"
            && self.crv == "Ed25519"
            && self.alg.as_deref().is_none_or(|alg| alg == "EdDSA" || alg == "Ed25519")
            && self.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && bytes.is_ok_and(|bytes| bytes.len() == 32)
    }
}
