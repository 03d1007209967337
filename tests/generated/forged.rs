//! Tokens as users have them, and as nobody must be able to make them.

use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mesh_auth::{Grant, Signer, SigningKey};
use mesh_local::UserKeys;
use mesh_runtime::{USER_AUDIENCE, USER_ISSUER};
use mesh_testkit::Platform;
use serde_json::{Value, json};
use tonic::metadata::MetadataMap;
use uuid::Uuid;

/// Signs with the key of a platform, and otherwise.
pub struct Forger {
    key: SigningKey,
}

impl Forger {
    pub fn of(platform: &Platform) -> Self {
        Self { key: UserKeys::read(&platform.user_keys().private()).unwrap() }
    }

    /// A good token of a user with these permissions.
    pub fn token(&self, subject: &str, permissions: &[&str]) -> String {
        let grant = Grant::new(subject.parse().unwrap(), Uuid::now_v7());
        let grant = grant.permissions(permissions.iter().copied());
        self.signer(USER_ISSUER, USER_AUDIENCE).sign(&grant).unwrap().expose().to_owned()
    }

    /// A token that would open everything, if it were good.
    pub fn bad(&self, what: &str, permissions: &[String]) -> String {
        let permissions = permissions.iter().map(String::as_str);
        let grant = Grant::new(Uuid::now_v7(), Uuid::now_v7()).permissions(permissions);
        let sign = |signer: Signer| signer.sign(&grant).unwrap().expose().to_owned();
        let good = self.signer(USER_ISSUER, USER_AUDIENCE);
        match what {
            "expired" => {
                let then = SystemTime::now() - Duration::from_secs(3600);
                good.sign_at(&grant, then).unwrap().expose().to_owned()
            }
            "of another issuer" => sign(self.signer("https://elsewhere.example", USER_AUDIENCE)),
            "for another audience" => sign(self.signer(USER_ISSUER, "elsewhere")),
            "unsigned" => self.unsigned(&sign(good)),
            "signed with the public key as a secret" => self.by_public_key(&sign(good)),
            "signed by an unknown key" => {
                let key = SigningKey::generate().unwrap();
                sign(Signer::new(USER_ISSUER, USER_AUDIENCE, key))
            }
            other => panic!("nobody knows how a token is {other}"),
        }
    }

    fn signer(&self, issuer: &str, audience: &str) -> Signer {
        Signer::new(issuer, audience, self.key.clone())
    }

    /// The same claims under `alg: none`.
    fn unsigned(&self, token: &str) -> String {
        let claims = token.split('.').nth(1).unwrap();
        let header = json!({ "alg": "none", "typ": "JWT", "kid": self.key.id() }).to_string();
        format!("{}.{claims}.", base64(header.as_bytes()))
    }

    /// The same claims under HMAC, with what everybody knows as the secret.
    fn by_public_key(&self, token: &str) -> String {
        let claims: Value =
            serde_json::from_slice(&unbase64(token.split('.').nth(1).unwrap())).unwrap();
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(self.key.id().to_owned());
        let public = serde_json::to_value(self.key.public()).unwrap();
        let secret = EncodingKey::from_secret(&unbase64(public["x"].as_str().unwrap()));
        jsonwebtoken::encode(&header, &claims, &secret).unwrap()
    }
}

/// The metadata of a call that shows this token.
pub fn bearer(token: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    metadata.insert("authorization", format!("Bearer {token}").parse().unwrap());
    metadata
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn unbase64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
}
