//! The shop's front door: one address that speaks gRPC, gRPC-Web and HTTP/JSON, and reaches the RPCs
//! that its `mesh.toml` declares, and no other.
//!
//! `listener` accepts connections, `door` finds out what a request speaks; `relay` passes gRPC through,
//! `web` puts gRPC-Web around it, `json` transcodes; `pages` are the gateway's own; `edge` is what
//! holds whatever a request speaks; `legacy` is what an old system still answers.

mod access;
mod bodies;
mod challenge;
mod codec;
mod config;
mod docs;
mod door;
mod edge;
mod follow;
mod greeting;
mod headers;
mod health;
mod json;
mod legacy;
mod listener;
mod metadata;
mod own;
mod pages;
mod reflection;
mod refused;
mod relay;
mod routes;
mod story;
mod timing;
mod web;
mod whole;

use std::{collections::HashSet, sync::Arc};

use anyhow::Context as _;
use mesh_auth::Verifier;
use mesh_flags::Flags;
use mesh_rpc::{Channel, Discovery, Identity, access::users_of_service, policy::LivePolicy};
use mesh_runtime::{Service, Started, parse_discovery};
use mesh_transcode::{Binding, Segment, Transcoder, openapi};
use prost_reflect::MethodDescriptor;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use config::Config;
pub use edge::{Origin, Owner, Subject};

use bodies::Bodies;
use door::Front;
use edge::{Edge, Places};
use health::Health;
use legacy::{Ground, Legacy, Place};
use own::Own;
use pages::Pages;
use routes::Routes;

/// Starts the gateway; it serves when this returns.
///
/// It is ready as soon as it listens: whether a service can be reached is that service's affair.
pub async fn start(config: Config) -> anyhow::Result<Started> {
    let service = Service::begin("gateway", &config.service).await?;
    let policy = LivePolicy::of_service(&service, &config.service, &[shop::DESCRIPTORS])?;
    let identity = Identity::of_service(&service, &config.service)?;
    let discovery: Discovery = config.service.discovery.parse()?;
    let discovery = discovery.policy(&policy).identity(&identity);

    let routes = Routes::connect(&service, &discovery, policy.current().contracts())?;
    let rpcs = routes.descriptors();
    let transcoder = Transcoder::new(&routes.pool, rpcs.iter().cloned())?;
    let users = users_of_service(&service, &config.service)?;
    let reached = Reached::of(&routes, &transcoder);
    let places = reached.places.clone();
    let edge = Edge::new(&service, &config, reached, users.clone())?;
    let flags = told(&service, &config, users.as_ref()).await?;
    let legacy = config.legacy_file.as_ref().map(|path| {
        let ground = Ground { places, flags };
        Legacy::follow(&service, path, ground)
    });
    let legacy = legacy.transpose()?;
    let current = policy.current();
    let page = openapi(&transcoder, current.contracts(), "Shopmesh", service.version());
    let health = Health::new(all(&service, &config, &discovery, &routes)?, config.health_limit());
    let listener = TcpListener::bind(config.service.listen_addr).await;
    let listener =
        listener.with_context(|| format!("port {} cannot be bound", config.service.listen_addr))?;
    let address = listener.local_addr()?;
    let closing = CancellationToken::new();
    let front = Front {
        service: service.clone(),
        config,
        edge,
        legacy,
        own: Own::new(&service, &rpcs, &closing)?,
        bodies: Bodies::default(),
        routes,
        transcoder,
        pages: Pages::new(&page, health),
        closing,
    };
    tokio::spawn(listener::run(listener, Arc::new(front), service.hold()));
    service.health().condition("rpc").ready();
    Ok(Started { service, grpc: address })
}

/// Hears what operators say of flags, and which tokens were revoked. Who is told of no broker hears
/// neither: then flags are as declared, and tokens are good until they expire.
async fn told(
    service: &Service,
    config: &Config,
    users: Option<&Arc<Verifier>>,
) -> anyhow::Result<Flags> {
    let flags = Flags::declared(service.name(), shop::DECLARATIONS)?;
    if config.service.nats_url.is_none() {
        return Ok(flags);
    }
    let nats = mesh_events::connect(service, &config.service).await?;
    flags.follow(service, nats.client(), nats.jetstream());
    if let Some(users) = users {
        users.revocations().follow(service, nats.client(), nats.jetstream());
        users.follow_keys(service, nats.client(), nats.jetstream());
    }
    Ok(flags)
}

/// What can be asked here, for a configuration that refers to it.
struct Reached {
    /// `package.Service/Method`.
    rpcs: HashSet<String>,
    places: Vec<Place>,
}

impl Reached {
    fn of(routes: &Routes, transcoder: &Transcoder) -> Self {
        let name =
            |rpc: MethodDescriptor| format!("{}/{}", rpc.parent_service().full_name(), rpc.name());
        // Where the contracts have something, and for whom.
        let place = |binding: &Binding| {
            let rpc = binding.rpc();
            Place {
                method: binding.method().clone(),
                template: binding.template().clone(),
                is_public: routes.of(rpc).is_some_and(|rpc| rpc.is_public),
                is_stream: rpc.is_server_streaming(),
            }
        };
        Self {
            rpcs: routes.descriptors().into_iter().map(name).collect(),
            places: transcoder.bindings().iter().map(place).collect(),
        }
    }
}

impl Places for Reached {
    fn has_rpc(&self, name: &str) -> bool {
        self.rpcs.contains(name)
    }

    fn has_path(&self, path: &str) -> bool {
        let parts: Vec<_> = path.split('/').skip(1).collect();
        let begins = |place: &Place| {
            let segments = place.template.segments();
            let mut pairs = parts.iter().zip(segments);
            parts.len() <= segments.len()
                && pairs.all(|(part, segment)| match segment {
                    Segment::Literal(text) => text == part,
                    Segment::One | Segment::Many => true,
                })
        };
        self.places.iter().any(begins) || pages::has(path)
    }
}

/// Channels to every service that can be found: those behind the ones that are called are asked how
/// they are, too.
fn all(
    service: &Service,
    config: &Config,
    discovery: &Discovery,
    routes: &Routes,
) -> anyhow::Result<Vec<(String, Channel)>> {
    let mut all = routes.channels().to_vec();
    for target in parse_discovery(&config.service.discovery)? {
        let is_new = all.iter().all(|(known, _)| *known != target.service);
        if is_new && target.service != service.name() {
            all.push((target.service.clone(), discovery.channel(service, &target.service)?));
        }
    }
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(all)
}

/// Counts what an input costs.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: alloc_tracker::Allocator<std::alloc::System> = alloc_tracker::Allocator::system();
