//! Keys with which services sign who they are, where no certificate says it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _};
use serde_json::{Value, json};

use crate::ca::{NAMESPACE, put};
use crate::private_dir;

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
        Self::put_together(dir, services, &read_key)
    }

    /// Makes new keys for `services` in a directory that only its owner may enter. Tokens that the
    /// keys before signed are worth nothing from now on.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn make(dir: &Path, services: &[&str]) -> Result<ServiceKeys> {
        Self::put_together(dir, services, &|_| Ok(None))
    }

    /// Keys for services that must not see each other's: below `dir` a folder for each, with its own
    /// key in `service.key` and everybody's public ones in `keys.json`. Those that are there are kept.
    ///
    /// # Errors
    /// A file cannot be read or written, or holds no key.
    pub fn apart(dir: &Path, services: &[&str]) -> Result<()> {
        let mut set = Vec::new();
        for service in services {
            let folder = dir.join(service);
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot use {}", folder.display()))?;
            let key = kept_or_new(&folder.join("service.key"), &read_key)?;
            set.push(public_part(service, &key));
        }
        let set = serde_json::to_string_pretty(&json!({ "keys": set }))?;
        services
            .iter()
            .try_for_each(|service| put(&dir.join(service).join("keys.json"), &set, None))
    }

    fn put_together(
        dir: &Path,
        services: &[&str],
        known: &dyn Fn(&Path) -> Result<Option<KeyPair>>,
    ) -> Result<ServiceKeys> {
        private_dir(dir, None).with_context(|| format!("cannot use {}", dir.display()))?;
        let made = ServiceKeys { dir: dir.to_owned() };
        let mut set = Vec::new();
        for service in services {
            let key = kept_or_new(&made.private(service), known)?;
            set.push(public_part(service, &key));
        }
        put(&made.public(), &serde_json::to_string_pretty(&json!({ "keys": set }))?, None)?;
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

/// The key of a file; none if there is no file.
fn read_key(path: &Path) -> Result<Option<KeyPair>> {
    match fs::read_to_string(path) {
        Ok(pem) => {
            let key = KeyPair::from_pem(&pem).with_context(|| {
                format!("{} holds no key: remove it, and a new one is made", path.display())
            });
            Ok(Some(key?))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn kept_or_new(path: &Path, known: &dyn Fn(&Path) -> Result<Option<KeyPair>>) -> Result<KeyPair> {
    if let Some(key) = known(path)? {
        return Ok(key);
    }
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    put(path, &key.serialize_pem(), None)?;
    Ok(key)
}

/// What a set of public keys says of one; `kid` is the service's SPIFFE id.
fn public_part(service: &str, key: &KeyPair) -> Value {
    json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "alg": "EdDSA",
        "use": "sig",
        "kid": format!("{NAMESPACE}/{service}"),
        "x": BASE64_URL_SAFE_NO_PAD.encode(key.der_bytes()),
    })
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

        let apart = dir.join("apart");
        ServiceKeys::apart(&apart, &["orders"]).unwrap();
        let (private, public) = (apart.join("orders/service.key"), apart.join("orders/keys.json"));
        let (own, all) = (read(private.clone()), read(public.clone()));
        ServiceKeys::apart(&apart, &["orders", "payments"]).unwrap();
        assert_eq!(read(private), own);
        assert_ne!(read(public.clone()), all);
        assert_eq!(read(public), read(apart.join("payments/keys.json")));

        fs::write(keys.private("orders"), "no key").unwrap();
        let refused = ServiceKeys::open(&dir, &["orders"]).unwrap_err().to_string();
        assert!(refused.ends_with("orders.key holds no key: remove it, and a new one is made"));
        fs::remove_dir_all(&dir).unwrap();
    }
}
