//! Keys that sign access tokens: in the database, so that every replica has the same, and rotated
//! with overlap; or one that is given, by whoever gives its public half to those who verify.

use std::{
    fs,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::FutureExt as _;
use mesh_auth::{Jwk, LIFE, SKEW, Signer, SigningKey};
use mesh_log::{Database, transact};
use rand::{TryRngCore as _, rngs::OsRng};
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    config::Config,
    store::{self, StoredKey},
};

/// How long before it signs a key is published, so that every verifier has it by then: services hear of it at
/// once, but whoever gives sidecars their keys (istiod) asks for them again every 20 minutes.
const AHEAD: Duration = Duration::from_secs(25 * 60);

/// Signs with the key of the moment.
pub struct Keys {
    issuer: String,
    audience: String,
    source: Source,
    signer: RwLock<Arc<Signer>>,
}

/// Where keys come from.
#[derive(Clone)]
enum Source {
    /// The service makes them, and each signs for so long.
    Own { life: Duration },
    /// This one is given, is published so long before it signs, and signs until another is.
    Given { key: SigningKey, ahead: Duration },
}

impl Keys {
    /// Opens the keys of the database; makes the first, if there is none.
    pub async fn open(db: &Database, config: &Config) -> anyhow::Result<Self> {
        let (issuer, audience) =
            (config.service.user_issuer.clone(), config.service.user_audience.clone());
        let source = match config.signing_key.as_deref() {
            Some(file) => Source::Given { key: read(file)?, ahead: config.signing_key_ahead() },
            None => Source::Own { life: config.signing_key_life() },
        };
        let stored = turn(db, source.clone()).await.context("the signing keys cannot be opened")?;
        let signer = signer(&issuer, &audience, &source, &stored)?;
        Ok(Self { issuer, audience, source, signer: RwLock::new(Arc::new(signer)) })
    }

    /// Makes the next key when it is time, removes those that no token needs, and signs with the one
    /// of the moment from now on.
    pub async fn turn(&self, db: &Database) -> anyhow::Result<()> {
        let stored = turn(db, self.source.clone()).await?;
        let signer = signer(&self.issuer, &self.audience, &self.source, &stored)?;
        *self.signer.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(signer);
        Ok(())
    }

    /// Who signs now, and which keys are published.
    pub fn signer(&self) -> Arc<Signer> {
        Arc::clone(&self.signer.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A secret of the database by which tokens are made that only this service reads.
pub async fn secret(db: &Database) -> anyhow::Result<Vec<u8>> {
    let mut fresh = [0; 32];
    OsRng.try_fill_bytes(&mut fresh).context("the system gives no randomness")?;
    let secret = transact(db, "open_secret", move |tx| {
        async move { store::secret(tx, "stamps", &fresh).await }.boxed()
    });
    secret.await.context("the secret of the refresh tokens cannot be opened")
}

/// Reads a key from a file.
fn read(file: &Path) -> anyhow::Result<SigningKey> {
    let text = fs::read_to_string(file);
    let text = text.with_context(|| format!("SIGNING_KEY: cannot read {}", file.display()))?;
    let der = BASE64_STANDARD.decode(text.trim()).unwrap_or_default();
    let key = SigningKey::from_pkcs8(&der);
    key.with_context(|| format!("SIGNING_KEY: {} holds no key", file.display()))
}

async fn turn(db: &Database, source: Source) -> anyhow::Result<Vec<StoredKey>> {
    transact(db, "turn_keys", move |tx| turn_in(tx, source).boxed()).await
}

/// Brings the keys to where they should be now, and returns them, the last to sign first.
async fn turn_in(tx: &mut PgConnection, source: Source) -> anyhow::Result<Vec<StoredKey>> {
    let mut keys = store::lock_keys(tx).await?;
    let now = store::now(tx).await?;
    if let Some((key, signs_at)) = next(&keys, source, now)? {
        let (kid, pkcs8) = (key.id().to_owned(), key.expose_pkcs8().to_vec());
        let key = StoredKey { kid, pkcs8, signs_at };
        store::insert_key(tx, &key).await?;
        keys.insert(0, key);
    }
    // A key is needed until the last token has expired that it signed before the next one did.
    let until = now - LIFE - 2 * SKEW;
    let needed = keys.iter().take_while(|key| key.signs_at > until).count() + 1;
    let dropped = keys.split_off(needed.min(keys.len()));
    if !dropped.is_empty() {
        let kids: Vec<_> = dropped.iter().map(|key| key.kid.as_str()).collect();
        store::drop_keys(tx, &kids).await?;
    }
    Ok(keys)
}

/// The key that is missing, and from when on it signs.
fn next(
    keys: &[StoredKey],
    source: Source,
    now: OffsetDateTime,
) -> anyhow::Result<Option<(SigningKey, OffsetDateTime)>> {
    let life = match source {
        Source::Given { key, .. } if keys.iter().any(|known| known.kid == key.id()) => {
            return Ok(None);
        }
        Source::Given { key, .. } if keys.is_empty() => return Ok(Some((key, now))),
        Source::Given { key, ahead } => return Ok(Some((key, now + ahead))),
        Source::Own { life } => life,
    };
    let signs_at = match keys.first() {
        None => now,
        // The next one is there before the last has signed for its life.
        Some(last) if last.signs_at + life <= now + AHEAD => {
            (last.signs_at + life).max(now + AHEAD)
        }
        Some(_) => return Ok(None),
    };
    Ok(Some((SigningKey::generate()?, signs_at)))
}

fn signer(
    issuer: &str,
    audience: &str,
    source: &Source,
    stored: &[StoredKey],
) -> anyhow::Result<Signer> {
    let now = OffsetDateTime::now_utc();
    let keys = stored.iter().map(|key| SigningKey::from_pkcs8(&key.pkcs8));
    let keys = keys.collect::<Result<Vec<_>, _>>().context("a signing key cannot be read")?;
    // The clock of this process may be a little behind the database's.
    let is_due = |key: &StoredKey| key.signs_at <= now + SKEW;
    let given = match source {
        Source::Given { key, .. } => stored.iter().position(|it| it.kid == key.id() && is_due(it)),
        Source::Own { .. } => None,
    };
    let signing = given.or_else(|| stored.iter().position(is_due));
    let current = signing.map_or_else(|| keys.last(), |at| keys.get(at));
    let current = current.context("there is no signing key")?.clone();
    let published: Vec<Jwk> = keys.iter().map(|key| key.public().clone()).collect();
    Ok(Signer::new(issuer, audience, current).publishing(published))
}
