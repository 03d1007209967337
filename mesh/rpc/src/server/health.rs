//! `grpc.health.v1.Health`: the same as the admin port says, for who asks and for who watches.

use std::collections::HashSet;

use futures::stream::{self, BoxStream, StreamExt as _};
use mesh_runtime::{Readiness, Service};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};

use super::refusal::refused;
use crate::{
    fault::{Fault, STACK, status},
    refusal::Refusal,
};

/// Names that every service has besides those of its contracts.
const OWN: [&str; 2] = ["", "readiness"];
/// Whoever can be asked is alive.
const LIVENESS: &str = "liveness";

/// Answers how `service` is, by these names of what it serves. Who watches is told at once, whenever it
/// changes, and when `closing` says that the service ends.
pub fn health(
    service: &Service,
    names: Vec<String>,
    closing: CancellationToken,
) -> HealthServer<impl Health + use<>> {
    let names = names.into_iter().chain(OWN.map(str::to_owned)).collect();
    HealthServer::new(Answers { service: service.clone(), names, closing })
}

struct Answers {
    service: Service,
    names: HashSet<String>,
    closing: CancellationToken,
}

/// How it is known how something is that is asked for by name.
#[derive(Clone, Copy)]
enum Kind {
    Alive,
    AsReady,
    Unknown,
}

impl Kind {
    fn status(self, readiness: &Readiness) -> ServingStatus {
        match self {
            Self::Alive => ServingStatus::Serving,
            Self::AsReady if readiness.ready => ServingStatus::Serving,
            Self::AsReady => ServingStatus::NotServing,
            Self::Unknown => ServingStatus::ServiceUnknown,
        }
    }
}

impl Answers {
    fn kind(&self, request: &HealthCheckRequest) -> Kind {
        match request.service.as_str() {
            LIVENESS => Kind::Alive,
            name if self.names.contains(name) => Kind::AsReady,
            _ => Kind::Unknown,
        }
    }
}

#[tonic::async_trait]
impl Health for Answers {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match self.kind(request.get_ref()) {
            Kind::Unknown => Err(status(STACK, &NotServedHere)),
            kind => Ok(Response::new(told(kind.status(&self.service.health().readiness())))),
        }
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watching = Watching {
            kind: self.kind(request.get_ref()),
            readiness: self.service.health().watch(),
            last: None,
            closing: Some(self.closing.clone()),
        };
        Ok(Response::new(stream::unfold(watching, Watching::next).boxed()))
    }
}

/// Somebody who watches.
struct Watching {
    /// What is unknown stays so, and is watched all the same, as the protocol says.
    kind: Kind,
    readiness: watch::Receiver<Readiness>,
    last: Option<ServingStatus>,
    /// None when the end was told.
    closing: Option<CancellationToken>,
}

impl Watching {
    async fn next(mut self) -> Option<(Result<HealthCheckResponse, Status>, Self)> {
        let closing = self.closing.clone()?;
        loop {
            let now = self.kind.status(&self.readiness.borrow_and_update());
            if self.last != Some(now) {
                self.last = Some(now);
                return Some((Ok(told(now)), self));
            }
            tokio::select! {
                changed = self.readiness.changed() => changed.ok()?,
                () = closing.cancelled() => {
                    self.closing = None;
                    return Some((Err(refused(Refusal::Stopped)), self));
                }
            }
        }
    }
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

/// Nothing of that name is served here.
#[derive(Debug, thiserror::Error)]
#[error("nothing of this name is served here")]
struct NotServedHere;

impl Fault for NotServedHere {
    fn code(&self) -> Code {
        Code::NotFound
    }

    fn reason(&self) -> &'static str {
        "HEALTH_UNKNOWN"
    }
}
