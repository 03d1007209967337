//! Settings of the gateway.

use std::{path::PathBuf, time::Duration};

use clap::Parser;
use http::HeaderName;
use ipnet::IpNet;
use mesh_runtime::ServiceConfig;

use crate::{
    edge::{Origin, Owner},
    metadata,
};

/// The shop's front door: gRPC, gRPC-Web and HTTP/JSON at one address.
#[derive(Clone, Debug, Parser)]
#[command(name = "gateway", version)]
pub struct Config {
    #[command(flatten)]
    pub service: ServiceConfig,

    /// Bytes that the body of an HTTP/JSON request may have.
    #[arg(long, env = "MAX_BODY_BYTES", default_value_t = 1 << 20)]
    pub max_body_bytes: usize,

    /// Bytes that all headers of a request may have together.
    #[arg(long, env = "MAX_HEADER_BYTES", default_value_t = 16 << 10,
          value_parser = clap::value_parser!(u32).range(1024..=24576))]
    pub max_header_bytes: u32,

    /// Headers that a request may have.
    #[arg(long, env = "MAX_HEADERS", default_value_t = 100,
          value_parser = clap::value_parser!(u16).range(16..=256))]
    pub max_headers: u16,

    /// Bytes that a request's path and query may have together.
    #[arg(long, env = "MAX_PATH_BYTES", default_value_t = 8 << 10,
          value_parser = clap::value_parser!(u16).range(256..=32768))]
    pub max_path_bytes: u16,

    /// Seconds within which the body of an HTTP/JSON request has to come.
    #[arg(long, env = "MAX_BODY_SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u16).range(1..=600))]
    pub max_body_seconds: u16,

    /// Seconds within which a connection has to say what it speaks, and a request's head has to come.
    #[arg(long, env = "MAX_HEAD_SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u16).range(1..=600))]
    pub max_head_seconds: u16,

    /// Metadata of clients that goes on to the services, besides what a call itself needs.
    #[arg(long, env = "FORWARD_METADATA", value_name = "NAME,…", value_delimiter = ',',
          value_parser = metadata::allowed)]
    pub forward_metadata: Vec<HeaderName>,

    /// Whose the duties of the edge are: TLS and HSTS, CORS, rates and compression.
    #[arg(long, env = "EDGE", value_enum, default_value_t = Owner::Gateway)]
    pub edge: Owner,

    /// A TOML file with rates, headers and paths; read again when it changes, without it there are none.
    #[arg(long, env = "EDGE_FILE")]
    pub edge_file: Option<PathBuf>,

    /// A TOML file with what an old system still answers, and for whom; read again when it changes,
    /// without it there is none.
    #[arg(long, env = "LEGACY_FILE")]
    pub legacy_file: Option<PathBuf>,

    /// The certificate that clients are shown, a PEM file that is reread when it changes; without it
    /// they ask in plaintext.
    #[arg(long, env = "EDGE_TLS_CERT", requires = "edge_tls_key")]
    pub edge_tls_cert: Option<PathBuf>,

    /// The certificate's private key, a PEM file.
    #[arg(long, env = "EDGE_TLS_KEY", requires = "edge_tls_cert")]
    pub edge_tls_key: Option<PathBuf>,

    /// Origins whose pages may ask from a browser, such as `https://shop.example`.
    #[arg(long, env = "CORS_ORIGINS", value_name = "ORIGIN,…", value_delimiter = ',')]
    pub cors_origins: Vec<Origin>,

    /// Networks whose `x-forwarded-for` is believed, such as `10.0.0.0/8`.
    #[arg(long, env = "TRUSTED_HOPS", value_name = "CIDR,…", value_delimiter = ',')]
    pub trusted_hops: Vec<IpNet>,

    /// Seconds that a service has to answer when `/health` asks how it is.
    #[arg(long, env = "HEALTH_LIMIT_SECONDS", default_value_t = 1.0)]
    pub health_limit_seconds: f64,
}

impl AsRef<ServiceConfig> for Config {
    fn as_ref(&self) -> &ServiceConfig {
        &self.service
    }
}

impl Config {
    pub(crate) fn body_limit(&self) -> Duration {
        Duration::from_secs(self.max_body_seconds.into())
    }

    pub(crate) fn head_limit(&self) -> Duration {
        Duration::from_secs(self.max_head_seconds.into())
    }

    pub(crate) fn health_limit(&self) -> Duration {
        Duration::try_from_secs_f64(self.health_limit_seconds).unwrap_or(Duration::from_secs(1))
    }
}
