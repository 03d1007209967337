//! Who answers which service.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::{body::Body, server::NamedService};

pub(super) type Route =
    Arc<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Generated servers by the name of their service.
#[derive(Default)]
pub(super) struct Routes(HashMap<&'static str, Route>);

impl Routes {
    pub(super) fn add<S>(&mut self, server: S)
    where
        S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        // Generated servers are always ready, so a clone may be called at once.
        let route = move |request| -> BoxFuture<'static, Response<Body>> {
            let answer = server.clone().call(request);
            Box::pin(async move { answer.await.unwrap_or_else(|never| match never {}) })
        };
        self.0.insert(S::NAME, Arc::new(route));
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// Returns who answers `package.Service`.
    pub(super) fn find(&self, service: &str) -> Option<Route> {
        self.0.get(service).cloned()
    }
}
