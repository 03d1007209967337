//! A signing key, and its tokens for everybody that is called.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use http::HeaderMap;

use crate::peer::{
    NotSpiffe,
    token::{HEADER, ServiceKey, Tokens, Verifier},
};

pub(super) struct Keyring {
    key: ServiceKey,
    verifier: Option<Arc<Verifier>>,
    /// By target. There are as many as services that this one calls.
    tokens: RwLock<HashMap<Box<str>, Arc<Tokens>>>,
}

impl Keyring {
    pub(super) fn new(key: ServiceKey, verifier: Option<Verifier>) -> Self {
        Self { key, verifier: verifier.map(Arc::new), tokens: RwLock::default() }
    }

    pub(super) fn key(&self) -> &ServiceKey {
        &self.key
    }

    pub(super) fn verifier(&self) -> Option<Arc<Verifier>> {
        self.verifier.clone()
    }

    /// Prepares for calls to `target`.
    pub(super) fn learn(&self, target: &str) -> Result<Arc<Tokens>, NotSpiffe> {
        let tokens = Arc::new(self.key.tokens_for(target)?);
        let mut known = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        // The first counts, so that a token that was signed serves all.
        Ok(Arc::clone(known.entry(target.into()).or_insert(tokens)))
    }

    pub(super) fn attach(&self, target: &str, headers: &mut HeaderMap) {
        let known = self.tokens.read().unwrap_or_else(PoisonError::into_inner).get(target).cloned();
        match known.map_or_else(|| self.learn(target), Ok) {
            Ok(tokens) => tokens.attach(headers),
            // Nobody of that name can be called.
            Err(_) => drop(headers.remove(HEADER)),
        }
    }
}
