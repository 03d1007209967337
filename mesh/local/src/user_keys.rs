//! The key with which this machine signs users' tokens.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use mesh_auth::{Jwks, SigningKey};

use crate::{ca::put, private_dir};

/// An Ed25519 key that signs users' tokens, and its public half for those who verify them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserKeys {
    dir: PathBuf,
}

impl UserKeys {
    /// The key in a directory that only its owner may enter: the one that is there, or else a new one.
    ///
    /// # Errors
    /// A file cannot be read or written, or holds no key.
    pub fn open(dir: &Path) -> Result<UserKeys> {
        private_dir(dir, None).with_context(|| format!("cannot use {}", dir.display()))?;
        let keys = UserKeys { dir: dir.to_owned() };
        let private = keys.private();
        let key = match fs::exists(&private) {
            Ok(true) => UserKeys::read(&private)?,
            _ => {
                let key = SigningKey::generate()?;
                put(&private, &BASE64_STANDARD.encode(key.expose_pkcs8()), None)?;
                key
            }
        };
        put(&keys.public(), &Jwks { keys: vec![key.public().clone()] }.to_json(), None)?;
        Ok(keys)
    }

    /// Reads the key in `file`.
    ///
    /// # Errors
    /// It cannot be read, or holds no key.
    pub fn read(file: &Path) -> Result<SigningKey> {
        let text = fs::read_to_string(file).map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow::anyhow!("{} is not there", file.display()),
            _ => anyhow::Error::new(error).context(format!("cannot read {}", file.display())),
        })?;
        let der = BASE64_STANDARD.decode(text.trim()).unwrap_or_default();
        SigningKey::from_pkcs8(&der).with_context(|| {
            format!("{} holds no key: remove it, and a new one is made", file.display())
        })
    }

    /// The file with the private key (PKCS#8 in base64), readable by its owner only. Those of services
    /// are beside it, each by its service's name.
    pub fn private(&self) -> PathBuf {
        self.dir.join("user-tokens.key")
    }

    /// A file in the same directory.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The JWKS file with the public key.
    pub fn public(&self) -> PathBuf {
        self.dir.join("users.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_there_is_kept_and_published() {
        let dir = std::env::temp_dir().join(format!("mesh-users-{}", std::process::id()));
        let keys = UserKeys::open(&dir).unwrap();
        let key = UserKeys::read(&keys.private()).unwrap();

        let again = UserKeys::open(&dir).unwrap();
        assert_eq!(UserKeys::read(&again.private()).unwrap().id(), key.id());
        let published = Jwks::from_json(&fs::read(again.public()).unwrap()).unwrap();
        assert_eq!(published.keys, [key.public().clone()]);

        fs::write(keys.private(), "no key").unwrap();
        let refused = UserKeys::open(&dir).unwrap_err().to_string();
        assert!(
            refused.ends_with("user-tokens.key holds no key: remove it, and a new one is made")
        );
        fs::remove_dir_all(&dir).unwrap();
        let gone = UserKeys::read(&keys.private()).unwrap_err().to_string();
        assert!(gone.ends_with("user-tokens.key is not there"), "{gone}");
    }
}
