//! The public keys of all services: a JSON Web Key Set (RFC 7517, RFC 8037).

use std::{collections::HashMap, path::Path};

use jsonwebtoken::DecodingKey;
use serde::Deserialize;

use super::KeyError;
use crate::peer::SpiffeId;

/// Whose signature a key verifies.
pub(super) type Keys = HashMap<Box<str>, (SpiffeId, DecodingKey)>;

#[derive(Deserialize)]
struct Set {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kty: String,
    crv: String,
    /// The SPIFFE id of the service that signs with it.
    kid: String,
    x: String,
}

/// Reads the set.
pub(super) fn read(path: &Path) -> Result<Keys, KeyError> {
    let unusable = |why: String| KeyError { path: path.to_owned(), why };
    let text = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let set: Set = serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
    set.keys.iter().map(|key| parse(key).map_err(unusable)).collect()
}

/// Finds the id of the service `name`, of which there must be one.
pub(super) fn id_of(name: &str, path: &Path) -> Result<SpiffeId, KeyError> {
    let keys = read(path)?;
    let mut found = keys.into_values().map(|(id, _)| id).filter(|id| id.service() == name);
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (found, _) => {
            let how_many = if found.is_some() { "several keys" } else { "no key" };
            let why = format!("it has {how_many} of `{name}`");
            Err(KeyError { path: path.to_owned(), why })
        }
    }
}

fn parse(key: &Key) -> Result<(Box<str>, (SpiffeId, DecodingKey)), String> {
    if (key.kty.as_str(), key.crv.as_str()) != ("OKP", "Ed25519") {
        return Err(format!("the key of {} is not Ed25519", key.kid));
    }
    let id: SpiffeId = key.kid.parse().map_err(|error| format!("{error}"))?;
    let decoding = DecodingKey::from_ed_components(&key.x).map_err(|error| error.to_string())?;
    Ok((key.kid.as_str().into(), (id, decoding)))
}
