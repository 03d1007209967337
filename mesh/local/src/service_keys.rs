//! Keys with which services sign who they are, where no certificate says it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _};
use serde_json::json;

use crate::ca::NAMESPACE;
use crate::{private_dir, replace};

/// An Ed25519 key for each service, and the set of all public ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceKeys {
    dir: PathBuf,
}

impl ServiceKeys {
    /// Makes new keys for `services` in a directory that only its owner may enter. Tokens that the
    /// keys before signed are worth nothing from now on.
    pub fn make(dir: &Path, services: &[&str]) -> Result<ServiceKeys> {
        private_dir(dir, None).with_context(|| format!("cannot use {}", dir.display()))?;
        let made = ServiceKeys { dir: dir.to_owned() };
        let mut set = Vec::new();
        for service in services {
            let key = KeyPair::generate_for(&PKCS_ED25519)?;
            put(&made.private(service), &key.serialize_pem())?;
            set.push(json!({
                "kty": "OKP",
                "crv": "Ed25519",
                "alg": "EdDSA",
                "use": "sig",
                "kid": format!("{NAMESPACE}/{service}"),
                "x": BASE64_URL_SAFE_NO_PAD.encode(key.der_bytes()),
            }));
        }
        put(&made.public(), &serde_json::to_string_pretty(&json!({ "keys": set }))?)?;
        Ok(made)
    }

    /// The PKCS#8 PEM file with the private key of `service`, readable by its owner only.
    pub fn private(&self, service: &str) -> PathBuf {
        self.dir.join(format!("{service}.key"))
    }

    /// The JWKS file with everybody's public keys; `kid` is the service's SPIFFE id.
    pub fn public(&self) -> PathBuf {
        self.dir.join("keys.json")
    }
}

fn put(path: &Path, content: &str) -> Result<()> {
    replace(path, content).with_context(|| format!("cannot write {}", path.display()))
}
