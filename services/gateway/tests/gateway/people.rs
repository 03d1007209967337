//! People whose tokens a gateway believes.

use std::path::PathBuf;

use mesh_auth::{Grant, Signer, SigningKey};
use mesh_runtime::{USER_AUDIENCE, USER_ISSUER};
use uuid::Uuid;

use crate::support::Folder;

/// Whoever signs them in.
pub struct People {
    signer: Signer,
    /// Where the key is that their tokens are verified by: `USER_KEYS`.
    pub keys: PathBuf,
    _folder: Folder,
}

impl People {
    pub fn new() -> Self {
        let key = SigningKey::generate().unwrap();
        let signer = Signer::new(USER_ISSUER, USER_AUDIENCE, key);
        let folder = Folder::new();
        let keys = folder.write("users.jwks", &signer.jwks().to_json());
        Self { signer, keys, _folder: folder }
    }

    /// What a request of this user shows.
    pub fn token(&self, user: Uuid) -> String {
        let token = self.signer.sign(&Grant::new(user, Uuid::now_v7())).unwrap();
        format!("Bearer {}", token.expose())
    }
}
