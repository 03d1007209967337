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
mod tls;

use std::{fs, net::SocketAddr, sync::Arc, time::Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header, request::Parts};
use mesh_auth::{User, Verifier};
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
    sheet: Sheet,
    /// None if no user is known here: then everybody counts by address.
    users: Option<Arc<Verifier>>,
    pub(crate) tls: Option<Tls>,
}

/// What an answer has to fit: known before the request is understood.
#[derive(Debug)]
pub(crate) struct Asked {
    origin: Option<HeaderValue>,
    takes_gzip: bool,
    is_secure: bool,
}

impl Edge {
    /// Reads the configuration, and what it refers to; `users` says who somebody is.
    pub(crate) fn new(
        config: &Config,
        places: &impl Places,
        users: Option<Arc<Verifier>>,
    ) -> Result<Self> {
        let sheet = match &config.edge_file {
            Some(path) => {
                let text = fs::read_to_string(path);
                let text = text.with_context(|| format!("EDGE_FILE {}", path.display()))?;
                let sheet = Sheet::read(&text, places);
                sheet.map_err(|wrong| anyhow!("EDGE_FILE {}, {wrong}", path.display()))?
            }
            None => Sheet::default(),
        };
        if config.edge == Owner::Ingress {
            left_alone(config, &sheet)?;
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
            sheet,
            users,
            tls,
        })
    }

    /// Names of headers that requests have because of the configuration, so that they go on.
    pub(crate) fn added(&self) -> impl Iterator<Item = &HeaderName> {
        self.sheet.request.names()
    }

    /// Makes a request what the configuration says it is, and notes where it comes from, and whose it
    /// is, if that is sure.
    pub(crate) fn enter(&self, head: &mut Parts, way: Way) -> Asked {
        let asked = Asked {
            origin: head.headers.get(header::ORIGIN).cloned(),
            takes_gzip: whole::takes_gzip(&head.headers),
            is_secure: way.is_secure,
        };
        head.extensions.insert(Client(self.hops.client(way.peer.ip(), &head.headers)));
        self.sheet.request.apply(&mut head.headers);
        if let Some(uri) = self.sheet.rewrites.apply(&head.uri) {
            head.uri = uri;
        }
        if let Some(user) = self.users.as_ref().and_then(|users| user(users, &head.headers)) {
            head.extensions.insert(Subject(user.subject().to_string().into()));
        }
        asked
    }

    /// The answer to a browser that asks whether a page of another origin may ask.
    pub(crate) fn preflight(&self, head: &Parts) -> Option<Result<Response<Body>, Refused>> {
        self.cors.as_ref()?.preflight(head)
    }

    /// Counts a request for `rpc`, or for something else. What an orchestrator asks is not counted.
    pub(crate) fn count(&self, head: &Parts, rpc: Option<&str>) -> Verdict {
        if pages::is_probe(head.uri.path()) {
            return Verdict::default();
        }
        self.sheet.rates.arrive(&caller(head), rpc, Instant::now())
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
        self.sheet.answer.apply(headers);
    }
}

/// The user whose token a request shows, if it is good. Whose is not, or who shows several, is nobody
/// here; what becomes of the request is for the service to say.
fn user(users: &Verifier, headers: &HeaderMap) -> Option<Arc<User>> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let only = shown.next().filter(|_| shown.next().is_none())?;
    users.verify(only.to_str().ok()?).ok()
}

/// Refuses what would be done twice.
fn left_alone(config: &Config, sheet: &Sheet) -> Result<()> {
    let rates = &sheet.rates;
    let set = [
        ("EDGE_TLS_CERT", config.edge_tls_cert.is_some()),
        ("CORS_ORIGINS", !config.cors_origins.is_empty()),
        (
            "[rates] in EDGE_FILE",
            rates.address.is_some() || rates.user.is_some() || !rates.rpcs.is_empty(),
        ),
    ];
    if let Some((name, _)) = set.into_iter().find(|(_, is_set)| *is_set) {
        bail!("EDGE=ingress leaves this to the ingress: take out {name}, or set EDGE=gateway");
    }
    Ok(())
}
