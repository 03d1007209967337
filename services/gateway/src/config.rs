//! Settings of the gateway.

use std::time::Duration;

use clap::Parser;
use http::HeaderName;
use mesh_runtime::ServiceConfig;

use crate::metadata;

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

    /// Metadata of clients that goes on to the services, besides what a call itself needs.
    #[arg(long, env = "FORWARD_METADATA", value_name = "NAME,…", value_delimiter = ',',
          value_parser = metadata::allowed)]
    pub forward_metadata: Vec<HeaderName>,

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
    pub(crate) fn health_limit(&self) -> Duration {
        Duration::try_from_secs_f64(self.health_limit_seconds).unwrap_or(Duration::from_secs(1))
    }
}
