//! How everybody hears by which keys tokens are signed: a key-value bucket of the broker with the key
//! set in it, told by whoever signs and watched by everybody who verifies.
//!
//! While the broker is away the keys hold that were heard last, and before any were heard, those that
//! the verifier was given. A token that names another key makes nobody work: once a second at most it
//! is asked whether something was missed.

use std::{convert::Infallible, sync::Arc};

use async_nats::{
    Client,
    jetstream::{
        self,
        kv::{self, Entry, Operation, UpdateErrorKind},
    },
};
use mesh_buckets::{Listener, follow};
use mesh_runtime::Service;

use crate::{Jwks, NotTold, Verifier, bucket::open};

/// The bucket's name. Who tells needs to publish to `$KV.user_keys.>`; who watches does not.
pub const KEYS_BUCKET: &str = "user_keys";

/// The one entry, the set as a JWKS.
const ENTRY: &str = "current";

/// Tells everybody by which keys tokens are signed.
#[derive(Clone, Debug)]
pub struct KeyTeller {
    bucket: kv::Store,
}

/// What was told last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    revision: u64,
    set: Vec<u8>,
}

impl KeyTeller {
    /// Opens the bucket, and makes it if it is not there; where whoever tells may not, somebody else
    /// has.
    ///
    /// # Errors
    /// If the broker is away or refuses.
    pub async fn open(jetstream: &jetstream::Context, replicas: usize) -> Result<Self, NotTold> {
        let config = kv::Config {
            bucket: KEYS_BUCKET.to_owned(),
            description: "by which keys users' tokens are signed".to_owned(),
            history: 1,
            num_replicas: replicas,
            ..kv::Config::default()
        };
        Ok(Self { bucket: open(jetstream, config).await? })
    }

    /// What was told last, by whomever: to be asked before the keys are read that are to be
    /// [told](Self::tell).
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn told(&self) -> Result<Told, NotTold> {
        let entry = self.bucket.entry(ENTRY).await.map_err(NotTold::of)?;
        Ok(entry.map_or_else(Told::default, |entry| {
            let is_there = entry.operation == Operation::Put;
            let set = if is_there { entry.value.to_vec() } else { Vec::new() };
            Told { revision: entry.revision, set }
        }))
    }

    /// Tells that `keys` sign, and no others, unless that was `told`. What somebody else has told
    /// since then stays: they have read the keys later.
    ///
    /// # Errors
    /// If the broker did not store it; whoever tells has to tell again.
    pub async fn tell(&self, told: &Told, keys: &Jwks) -> Result<(), NotTold> {
        let set = keys.to_json();
        if set.as_bytes() == told.set {
            return Ok(());
        }
        match self.bucket.update(ENTRY, set.into(), told.revision).await {
            Ok(_) => {
                tracing::info!(keys = keys.keys.len(), "users' keys told");
                Ok(())
            }
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(()),
            Err(error) => Err(NotTold::of(error)),
        }
    }
}

impl Verifier {
    /// Follows the bucket of keys as long as `service` runs. What is heard there takes the place of the
    /// keys that the verifier was given, for good.
    pub fn follow_keys(
        self: &Arc<Self>,
        service: &Service,
        client: &Client,
        jetstream: &jetstream::Context,
    ) {
        let mut ear = Ear { verifier: Arc::clone(self), lost: "" };
        let (client, jetstream) = (client.clone(), jetstream.clone());
        let stopped = service.stopped();
        service.spawn("user keys told", async move {
            let follow = follow(&client, &jetstream, KEYS_BUCKET, &mut ear);
            let _: Option<Infallible> = stopped.run_until_cancelled(follow).await;
        });
    }
}

/// Who hears for a verifier.
struct Ear {
    verifier: Arc<Verifier>,
    /// Why nothing was heard lately: it is said once.
    lost: &'static str,
}

impl Listener for Ear {
    fn entry(&mut self, entry: &Entry) {
        if entry.key != ENTRY {
            return;
        }
        let set = (entry.operation == Operation::Put).then(|| Jwks::from_json(&entry.value));
        match set {
            Some(Ok(set)) if !set.keys.is_empty() => {
                if self.verifier.hear_keys(&set) {
                    tracing::info!(keys = set.keys.len(), "users' keys heard");
                }
            }
            _ => tracing::warn!("users' keys not understood: those of before hold"),
        }
    }

    fn known(&mut self) {
        self.lost = "";
    }

    fn lost(&mut self, why: &'static str) {
        if why != self.lost {
            tracing::info!(why, "users' keys not heard: those of before hold");
            self.lost = why;
        }
    }

    async fn doubt(&self) {
        self.verifier.key_missed().await;
    }
}
