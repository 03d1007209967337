//! Keys with which services sign who they are, where no certificate says it.

use std::fs;
use std::io::ErrorKind;
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
    /// The keys of `services` in a directory that only its owner may enter: those that are there, and
    /// new ones for who has none. Whoever has read one may go on using it.
    ///
    /// # Errors
    /// A file cannot be read or written, or holds no key.
    pub fn open(dir: &Path, services: &[&str]) -> Result<ServiceKeys> {
        Self::put_together(dir, services, |path| match fs::read_to_string(path) {
            Ok(pem) => {
                let key = KeyPair::from_pem(&pem).with_context(|| {
                    format!("{} holds no key: remove it, and a new one is made", path.display())
                });
                Ok(Some(key?))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        })
    }

    /// Makes new keys for `services` in a directory that only its owner may enter. Tokens that the
    /// keys before signed are worth nothing from now on.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn make(dir: &Path, services: &[&str]) -> Result<ServiceKeys> {
        Self::put_together(dir, services, |_| Ok(None))
    }

    fn put_together(
        dir: &Path,
        services: &[&str],
        known: impl Fn(&Path) -> Result<Option<KeyPair>>,
    ) -> Result<ServiceKeys> {
        private_dir(dir, None).with_context(|| format!("cannot use {}", dir.display()))?;
        let made = ServiceKeys { dir: dir.to_owned() };
        let mut set = Vec::new();
        for service in services {
            let path = made.private(service);
            let key = match known(&path)? {
                Some(key) => key,
                None => {
                    let key = KeyPair::generate_for(&PKCS_ED25519)?;
                    put(&path, &key.serialize_pem())?;
                    key
                }
            };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_there_are_kept_and_missing_ones_made() {
        let dir = std::env::temp_dir().join(format!("mesh-keys-{}", std::process::id()));
        let read = |path: PathBuf| fs::read_to_string(path).unwrap();
        let keys = ServiceKeys::open(&dir, &["orders"]).unwrap();
        let (private, public) = (read(keys.private("orders")), read(keys.public()));

        let again = ServiceKeys::open(&dir, &["orders", "payments"]).unwrap();
        assert_eq!(read(again.private("orders")), private);
        let set: serde_json::Value = serde_json::from_str(&read(again.public())).unwrap();
        let before: serde_json::Value = serde_json::from_str(&public).unwrap();
        assert_eq!(set["keys"][0], before["keys"][0]);
        assert_eq!(set["keys"][1]["kid"], format!("{NAMESPACE}/payments"));

        fs::write(keys.private("orders"), "no key").unwrap();
        let refused = ServiceKeys::open(&dir, &["orders"]).unwrap_err().to_string();
        assert!(refused.ends_with("orders.key holds no key: remove it, and a new one is made"));
        fs::remove_dir_all(&dir).unwrap();
    }
}
