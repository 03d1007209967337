//! What is done with requests and answers of any kind before and after they are understood: who may
//! ask, how often, under which names, and what browsers are told.
//!
//! Some of it is an ingress's affair where there is one: [`Owner`] says whose.

mod caller;
mod cors;
mod file;
mod hops;
mod protect;
mod rates;
mod rewrites;
mod rules;
mod sheets;
mod tls;

use std::{net::SocketAddr, sync::Arc, time::Instant};

use anyhow::{Context as _, Result};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header, request::Parts};
use mesh_auth::{User, Verifier};
use mesh_runtime::{
    ConfigError, Service,
    trace::{self, TraceContext},
};
use tonic::body::Body;

pub use caller::Subject;
pub use cors::Origin;

pub(crate) use caller::address;
pub(crate) use caller::{Caller, caller};
pub(crate) use file::{Places, Reader, Wrong};
pub(crate) use rates::seconds;
pub(crate) use rewrites::rest;
pub(crate) use tls::Tls;

use crate::{Config, pages, refused::Refused, whole};
use caller::Client;
use cors::Cors;
use file::Sheet;
use hops::Hops;
use rates::Verdict;
use sheets::Sheets;

/// Whose the duties of the edge are: TLS and HSTS, CORS, rates, compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Owner {
    /// The gateway's own: clients reach it themselves.
    #[default]
    Gateway,
    /// An ingress's that stands before it, and alone reaches it, in plaintext.
    Ingress,
}

/// The connection that a request came by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) peer: SocketAddr,
    /// Whether it is TLS that ends here.
    pub(crate) is_secure: bool,
}

/// What is done at the edge.
#[derive(Debug)]
pub(crate) struct Edge {
    owner: Owner,
    cors: Option<Cors>,
    hops: Hops,
    sheets: Arc<Sheets>,
    /// None if no user is known here: then everybody counts by address.
    users: Option<Arc<Verifier>>,
    pub(crate) tls: Option<Tls>,
}

/// What an answer has to fit: known before the request is understood.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What the file said when the request came: it holds to its end.
    sheet: Arc<Sheet>,
    origin: Option<HeaderValue>,
    takes_gzip: bool,
    is_secure: bool,
}

impl Edge {
    /// Reads the configuration, and what it refers to; `users` says who somebody is. What `EDGE_FILE`
    /// says is read again whenever it changes, for as long as the service runs.
    pub(crate) fn new(
        service: &Service,
        config: &Config,
        places: impl Places + Send + 'static,
        users: Option<Arc<Verifier>>,
    ) -> Result<Self> {
        if config.edge == Owner::Ingress {
            left_alone(config)?;
        }
        let tls = match (&config.edge_tls_cert, &config.edge_tls_key) {
            (Some(certificate), Some(key)) => {
                Some(Tls::follow(certificate.clone(), key.clone()).context("EDGE_TLS_CERT")?)
            }
            _ => None,
        };
        Ok(Self {
            owner: config.edge,
            cors: Cors::new(&config.cors_origins, &config.forward_metadata),
            hops: Hops::new(&config.trusted_hops),
            sheets: Sheets::follow(service, config, places)?,
            users,
            tls,
        })
    }

    /// Makes a request what the configuration says it is, and notes where it comes from, and whose it
    /// is, if that is sure.
    pub(crate) fn enter(&self, head: &mut Parts, way: Way) -> Asked {
        let sheet = self.sheets.now();
        head.extensions.insert(Forwarded(Arc::clone(&sheet.forwarded)));
        let asked = Asked {
            sheet: Arc::clone(&sheet),
            origin: head.headers.get(header::ORIGIN).cloned(),
            takes_gzip: whole::takes_gzip(&head.headers),
            is_secure: way.is_secure,
        };
        head.extensions.insert(Client(self.hops.client(way.peer.ip(), &head.headers)));
        sheet.request.apply(&mut head.headers);
        if let Some(uri) = sheet.rewrites.apply(&head.uri) {
            head.uri = uri;
        }
        if let Some(user) = self.users.as_ref().and_then(|users| user(users, &head.headers)) {
            head.extensions.insert(Subject(user.subject().to_string().into()));
        }
        asked
    }

    /// The trace that a request goes on with. Whether it is sampled is decided here, unless a trusted hop
    /// has: strangers could have everything sampled, or nothing.
    pub(crate) fn trace(&self, headers: &HeaderMap, way: Way) -> Option<TraceContext> {
        let told = trace::extract(headers)?;
        Some(if self.hops.trusts(way.peer.ip()) { told } else { told.decided_here() })
    }

    /// The answer to a browser that asks whether a page of another origin may ask.
    pub(crate) fn preflight(&self, head: &Parts) -> Option<Result<Response<Body>, Refused>> {
        self.cors.as_ref()?.preflight(head)
    }

    /// Counts a request for `rpc`, or for something else. What an orchestrator asks is not counted.
    pub(crate) fn count(&self, asked: &Asked, head: &Parts, rpc: Option<&str>) -> Verdict {
        if pages::is_probe(head.uri.path()) {
            return Verdict::default();
        }
        asked.sheet.rates.arrive(&caller(head), rpc, Instant::now())
    }

    /// Makes an answer what the configuration says it is, and what the client has asked for.
    pub(crate) fn leave(&self, asked: &Asked, is_grpc: bool, response: &mut Response<Body>) {
        if self.owner == Owner::Gateway {
            whole::compress(response, asked.takes_gzip);
        }
        let headers = response.headers_mut();
        if !is_grpc {
            protect::tell(headers, asked.is_secure);
            if let Some(cors) = &self.cors {
                cors.tell(asked.origin.as_ref(), headers);
            }
        }
        asked.sheet.answer.apply(headers);
    }
}

/// The user whose token a request shows, if it is good. Whose is not, or who shows several, is nobody
/// here; what becomes of the request is for the service to say.
fn user(users: &Verifier, headers: &HeaderMap) -> Option<Arc<User>> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let only = shown.next().filter(|_| shown.next().is_none())?;
    users.verify(only.to_str().ok()?).ok()
}

/// Which of a client's headers go on to services, as [`Edge::enter`] has noted it.
#[derive(Clone, Debug)]
struct Forwarded(Arc<[HeaderName]>);

/// Names of headers that go on to services, besides what a call itself needs: those that the
/// configuration names, and those that requests have because of it.
pub(crate) fn forwarded(head: &Parts) -> &[HeaderName] {
    head.extensions.get().map_or(&[], |Forwarded(names)| names)
}

/// Refuses what would be done twice.
fn left_alone(config: &Config) -> Result<(), ConfigError> {
    let set = [
        ("EDGE_TLS_CERT", config.edge_tls_cert.is_some()),
        ("CORS_ORIGINS", !config.cors_origins.is_empty()),
    ];
    let twice = set.into_iter().find(|(_, is_set)| *is_set);
    twice.map_or(Ok(()), |(name, _)| Err(ConfigError(of_ingress(name))))
}

fn of_ingress(name: &str) -> String {
    format!("EDGE=ingress leaves this to the ingress: take out {name}, or set EDGE=gateway")
}
