//! What the gateway answers itself by gRPC: how it is, and, to tools, what can be reached here.

use std::{collections::BTreeSet, convert::Infallible, fmt};

use anyhow::Result;
use http::{Request, Response, request::Parts};
use mesh_rpc::server::health;
use mesh_runtime::Service;
use prost_reflect::MethodDescriptor;
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, server::NamedService};
use tower::{ServiceExt as _, util::BoxCloneSyncService};

use crate::reflection;

type Server = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Servers of the gateway's own.
pub(crate) struct Own {
    servers: Vec<(&'static str, Server)>,
}

/// Nothing of that name is asked here.
pub(crate) struct Unknown;

impl Own {
    /// Tells of these RPCs, and how `service` is: by the names of all that it passes on, as the gateway
    /// is itself. Who watches that is told when `closing` says that it ends.
    pub(crate) fn new(
        service: &Service,
        rpcs: &[MethodDescriptor],
        closing: &CancellationToken,
    ) -> Result<Self> {
        let names: BTreeSet<String> =
            rpcs.iter().map(|rpc| rpc.parent_service().full_name().to_owned()).collect();
        let health = health(service, names.into_iter().collect(), closing.clone());
        let (v1, v1alpha) = reflection::servers(rpcs)?;
        Ok(Self { servers: vec![named(health), named(v1), named(v1alpha)] })
    }

    pub(crate) async fn answer(&self, head: &Parts, body: Body) -> Result<Response<Body>, Unknown> {
        let name = head.uri.path().strip_prefix('/').and_then(|path| path.split('/').next());
        let server = self.servers.iter().find(|(known, _)| Some(*known) == name);
        let (_, server) = server.ok_or(Unknown)?;
        let mut request = Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = head.uri.clone();
        *request.headers_mut() = head.headers.clone();
        match server.clone().oneshot(request).await {
            Ok(response) => Ok(response),
            Err(never) => match never {},
        }
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").finish_non_exhaustive()
    }
}

fn named<S>(server: S) -> (&'static str, Server)
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    (S::NAME, BoxCloneSyncService::new(server))
}
