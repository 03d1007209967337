//! Tokens of users of a shop on this machine: signed with the key that `up` made.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::HeaderValue;
use mesh_auth::{Grant, LIFE, Signer};
use mesh_local::UserKeys;
use mesh_policy::Table;
use mesh_runtime::{Secret, USER_AUDIENCE, USER_ISSUER};
use serde::{Deserialize, Serialize};
use uuid::{Uuid, uuid};

/// Whom an operator's tokens speak of: of version 8, which no account is.
pub const ADMINISTRATOR: Uuid = uuid!("ad000000-0000-8000-8000-000000000000");
/// How long a token is used again: it is good for some minutes more.
const FRESH: Duration = LIFE.saturating_sub(Duration::from_secs(300));
/// Users whose tokens are kept.
const KEPT: usize = 4096;

/// Somebody who makes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// The administrator, who has every permission.
    Administrator,
    /// A customer, who has none.
    Customer(Uuid),
}

/// What all tokens of a shop say: who signs them, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
}

impl Terms {
    /// Whether services say and believe the same unless they are told otherwise.
    pub fn are_usual(&self) -> bool {
        *self == Terms::default()
    }
}

impl Default for Terms {
    fn default() -> Terms {
        Terms { issuer: USER_ISSUER.to_owned(), audience: USER_AUDIENCE.to_owned() }
    }
}

/// Signs tokens, each once in a while.
pub struct Users {
    signer: Signer,
    permissions: BTreeSet<String>,
    signed: Mutex<HashMap<Who, (Instant, HeaderValue)>>,
}

impl Users {
    /// Signs with the key in this file, on these terms.
    pub fn read(key: &Path, terms: &Terms) -> Result<Users> {
        let signer = Signer::new(&terms.issuer, &terms.audience, UserKeys::read(key)?);
        Ok(Users { signer, permissions: permissions()?, signed: Mutex::default() })
    }

    /// A new token.
    pub fn token(&self, who: Who) -> Result<Secret> {
        let (subject, session) = match who {
            Who::Administrator => (ADMINISTRATOR, Uuid::now_v7()),
            Who::Customer(customer) => (customer, Uuid::now_v7()),
        };
        let mut grant = Grant::new(subject, session);
        if who == Who::Administrator {
            let permissions = self.permissions.iter().map(String::as_str);
            grant = grant.roles(["administrator"]).permissions(permissions);
        }
        self.signer.sign(&grant).context("no token can be signed")
    }

    /// The `authorization` header that shows a token which is good for some minutes.
    pub fn header(&self, who: Who) -> Result<HeaderValue> {
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, header)) = signed.get(&who)
            && at.elapsed() < FRESH
        {
            return Ok(header.clone());
        }
        let token = self.token(who)?;
        let mut header = HeaderValue::from_str(&format!("Bearer {}", token.expose()))?;
        header.set_sensitive(true);
        if signed.len() >= KEPT {
            signed.clear();
        }
        signed.insert(who, (Instant::now(), header.clone()));
        Ok(header)
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").finish_non_exhaustive()
    }
}

/// Every permission that a contract names, and that of operators.
pub fn permissions() -> Result<BTreeSet<String>> {
    let table = Table::from_descriptors(&[shop::DESCRIPTORS, mesh_proto::DESCRIPTORS]);
    let table = table.context("the contracts' options")?;
    let named = table.methods().flat_map(|method| &method.access.permissions);
    let mut permissions: BTreeSet<_> = named.map(ToString::to_string).collect();
    permissions.insert("operator".to_owned());
    Ok(permissions)
}

#[cfg(test)]
mod tests {
    use mesh_auth::Verifier;

    use super::*;

    #[test]
    fn a_token_says_who_it_is_for_and_what_they_may_do() {
        let dir = std::env::temp_dir().join(format!("mesh-tokens-{}", std::process::id()));
        let keys = UserKeys::open(&dir).unwrap();
        let users = Users::read(&keys.private(), &Terms::default()).unwrap();
        let verifier = Verifier::new(USER_ISSUER, USER_AUDIENCE);
        let jwks = std::fs::read(keys.public()).unwrap();
        verifier.replace_keys(&mesh_auth::Jwks::from_json(&jwks).unwrap());
        let verified = |who| {
            let header = users.header(who).unwrap();
            assert_eq!(header, users.header(who).unwrap(), "signed once");
            assert!(header.is_sensitive());
            verifier.verify(header.to_str().unwrap()).unwrap()
        };

        let ada = Uuid::now_v7();
        let customer = verified(Who::Customer(ada));
        assert_eq!((customer.subject(), customer.permissions().count()), (ada, 0));
        let administrator = verified(Who::Administrator);
        for permission in ["catalog.manage", "orders.manage", "operator"] {
            assert!(administrator.has_permission(permission), "{permission}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
