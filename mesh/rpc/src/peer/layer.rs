//! The [`Authenticator`] as a tower layer.

use std::{
    future::{Ready, ready},
    task::{Context, Poll},
};

use futures::future::Either;
use http::{Request, Response};
use tower::{Layer, Service};

use super::{Authenticator, Connection};

/// Lets only calls through whose caller is known, with the [`Peer`](super::Peer) in their
/// extensions.
#[derive(Clone, Debug)]
pub struct AuthenticateLayer {
    authenticator: Authenticator,
}

impl AuthenticateLayer {
    pub(super) fn new(authenticator: Authenticator) -> Self {
        Self { authenticator }
    }
}

impl<S> Layer<S> for AuthenticateLayer {
    type Service = Authenticate<S>;

    fn layer(&self, inner: S) -> Authenticate<S> {
        Authenticate { authenticator: self.authenticator.clone(), inner }
    }
}

/// A service behind an [`AuthenticateLayer`].
#[derive(Clone, Debug)]
pub struct Authenticate<S> {
    authenticator: Authenticator,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Authenticate<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response<R>, S::Error>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path().trim_start_matches('/');
        let decided = match parts.extensions.get::<Connection>() {
            Some(connection) => {
                self.authenticator.authenticate(connection, path, &mut parts.headers)
            }
            None => Err(self.authenticator.unknown()),
        };
        match decided {
            Ok(peer) => {
                if let Some(peer) = peer {
                    parts.extensions.insert(peer);
                }
                Either::Right(self.inner.call(Request::from_parts(parts, body)))
            }
            Err(status) => Either::Left(ready(Ok(status.into_http()))),
        }
    }
}
