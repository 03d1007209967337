//! The settings that every service has: a flag and an environment variable each.

mod parse;
mod secret;
mod source;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
pub use parse::{Target, parse_discovery};
pub use secret::Secret;
pub use source::{DnsName, Source};

/// Who signs users in, unless it is configured otherwise.
pub const USER_ISSUER: &str = "https://users.mesh.local";
/// Whom users' tokens are for, unless it is configured otherwise.
pub const USER_AUDIENCE: &str = "mesh";

/// Settings of every service. Flatten it into the service's own configuration.
#[derive(Clone, Debug, clap::Args)]
pub struct ServiceConfig {
    /// Where the service answers gRPC; port 0 takes a free one
    #[arg(long, env = "LISTEN_ADDR", default_value = "127.0.0.1:0")]
    pub listen_addr: SocketAddr,

    /// Where it answers /healthz, /readyz and /metrics; port 0 takes a free one
    #[arg(long, env = "ADMIN_ADDR", default_value = "127.0.0.1:0")]
    pub admin_addr: SocketAddr,

    /// The service's own PostgreSQL database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<Secret>,

    /// How many connections it holds at most
    #[arg(long, env = "DATABASE_POOL", default_value_t = 8,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub database_pool: u32,

    /// The NATS server that events go through
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    pub nats_url: Option<Secret>,

    /// Where other services are: `payments=static:IP:PORT,IP:PORT;catalog=dns:NAME[:PORT];
    /// orders=mesh:HOST:PORT[@SIDECAR];shipping=file:PATH`
    #[arg(long, env = "DISCOVERY", default_value = "", value_parser = parse::discovery)]
    pub discovery: String,

    /// A TOML file with operational values of calls, read again when it changes and on SIGHUP;
    /// without it those of the contracts and the defaults hold
    #[arg(long, env = "MESH_POLICY")]
    pub mesh_policy: Option<PathBuf>,

    /// The service's certificate, a PEM file that is reread when it changes; without it calls are
    /// in plaintext
    #[arg(long, env = "TLS_CERT", requires_all = ["tls_key", "tls_ca"])]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key, a PEM file
    #[arg(long, env = "TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// The certificates of the authorities that peers are trusted by, a PEM file
    #[arg(long, env = "TLS_CA", requires = "tls_cert")]
    pub tls_ca: Option<PathBuf>,

    /// The Ed25519 key that signs the service's tokens for calls in plaintext, a PEM file
    #[arg(long, env = "SERVICE_KEY", requires = "service_keys")]
    pub service_key: Option<PathBuf>,

    /// The public keys of all services that sign tokens, a JWKS file
    #[arg(long, env = "SERVICE_KEYS", requires = "service_key")]
    pub service_keys: Option<PathBuf>,

    /// Networks from which a service's token in plaintext is believed besides loopback, such as
    /// `172.16.0.0/12`: those on which nobody else can listen
    #[arg(
        long,
        env = "SERVICE_TOKENS_FROM",
        value_name = "CIDR,…",
        value_delimiter = ',',
        requires = "service_key"
    )]
    pub service_tokens_from: Vec<IpNet>,

    /// Where the sidecar's plaintext connections come from: who calls is what its
    /// x-forwarded-client-cert header says, on these connections only; with Istio 127.0.0.6
    #[arg(long, env = "SIDECAR_ADDR", requires = "spiffe_id",
          conflicts_with_all = ["tls_cert", "service_key"])]
    pub sidecar_addr: Option<IpAddr>,

    /// The id in the certificate that the sidecar shows for the service, such as
    /// `spiffe://cluster.local/ns/shop/sa/orders`; callers have to be of the same namespace
    #[arg(long, env = "SPIFFE_ID", requires = "sidecar_addr")]
    pub spiffe_id: Option<String>,

    /// The public keys of whoever signs users in, a JWKS file that is reread when it changes, until the
    /// broker's bucket `user_keys` says better; without it no user's token is believed
    #[arg(long, env = "USER_KEYS")]
    pub user_keys: Option<PathBuf>,

    /// Who signs users in, as their tokens say it (`iss`)
    #[arg(long, env = "USER_ISSUER", default_value = USER_ISSUER)]
    pub user_issuer: String,

    /// Whom users' tokens are for (`aud`)
    #[arg(long, env = "USER_AUDIENCE", default_value = USER_AUDIENCE)]
    pub user_audience: String,

    /// What holds while the broker does not say which tokens are revoked: `open`, each is good until it
    /// expires, or `closed`, none is
    #[arg(long, env = "REVOCATIONS_LOST", default_value = "open", value_parser = ["open", "closed"])]
    pub revocations_lost: String,

    /// Programs of operators: who calls under one of these names may do what operators may
    #[arg(long, env = "OPERATORS", value_name = "NAME,…", value_delimiter = ',')]
    pub operators: Vec<String>,

    /// Which version of the service this is, as its signals and `/healthz` say it
    #[arg(long, env = "SERVICE_VERSION", default_value = env!("CARGO_PKG_VERSION"))]
    pub service_version: String,

    /// Where signals go by OTLP over gRPC; without it none are sent
    #[arg(long, env = "OTLP_ENDPOINT", value_parser = parse::endpoint)]
    pub otlp_endpoint: Option<String>,

    /// What goes there
    #[arg(
        long,
        env = "OTLP_SIGNALS",
        value_enum,
        value_delimiter = ',',
        default_value = "traces,metrics,logs"
    )]
    pub otlp_signals: Vec<Signal>,

    /// How long after metrics were sent they are sent again
    #[arg(long, env = "OTLP_INTERVAL", default_value = "15s", value_parser = parse::duration)]
    pub otlp_interval: Duration,

    /// The share of traces begun here that is sent, from 0 to 1
    #[arg(long, env = "TRACE_RATIO", default_value_t = 1.0, value_parser = parse::ratio)]
    pub trace_ratio: f64,

    /// Keys of W3C baggage that go on to the calls that the service makes; without it none do
    #[arg(long, env = "BAGGAGE", value_name = "KEY,…", value_delimiter = ',')]
    pub baggage: Vec<String>,

    /// How log lines look
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,

    /// What is logged: `info`, or directives such as `info,mesh_events=debug`
    #[arg(long, env = "LOG_LEVEL", default_value = "info", value_parser = parse::log_level)]
    pub log_level: String,

    /// Threads that run the service
    #[arg(long, env = "WORKER_THREADS", default_value = "1", value_parser = parse::threads)]
    pub worker_threads: usize,

    /// Time between saying "not ready" and refusing connections, for those who route to it
    #[arg(long, env = "PRE_STOP", default_value = "0s", value_parser = parse::duration)]
    pub pre_stop: Duration,

    /// How long calls in flight may take to end when the service stops
    #[arg(long, env = "DRAIN", default_value = "30s", value_parser = parse::duration)]
    pub drain: Duration,
}

impl Default for ServiceConfig {
    /// The settings of a service that is given none: free loopback ports, no database.
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen_addr: any,
            admin_addr: any,
            database_url: None,
            database_pool: 8,
            nats_url: None,
            discovery: String::new(),
            mesh_policy: None,
            tls_cert: None,
            tls_key: None,
            tls_ca: None,
            service_key: None,
            service_keys: None,
            service_tokens_from: Vec::new(),
            sidecar_addr: None,
            spiffe_id: None,
            user_keys: None,
            user_issuer: USER_ISSUER.to_owned(),
            user_audience: USER_AUDIENCE.to_owned(),
            revocations_lost: "open".to_owned(),
            operators: Vec::new(),
            service_version: env!("CARGO_PKG_VERSION").to_owned(),
            otlp_endpoint: None,
            otlp_signals: Signal::ALL.to_vec(),
            otlp_interval: Duration::from_secs(15),
            trace_ratio: 1.0,
            baggage: Vec::new(),
            log_format: LogFormat::Auto,
            log_level: "info".to_owned(),
            worker_threads: 1,
            pre_stop: Duration::ZERO,
            drain: Duration::from_secs(30),
        }
    }
}

/// What a process says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Counters, gauges and histograms.
    Metrics,
    /// Log lines.
    Logs,
}

impl Signal {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];
}

impl ServiceConfig {
    /// Where this signal is sent, if it is.
    pub(crate) fn sends(&self, signal: Signal) -> Option<&str> {
        self.otlp_endpoint.as_deref().filter(|_| self.otlp_signals.contains(&signal))
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Pretty if stdout is a terminal, else JSON.
    Auto,
    /// One JSON object per line.
    Json,
    /// For people at a terminal.
    Pretty,
}

/// A setting that the service cannot start with. [`main`](crate::main) exits 64 for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

#[cfg(test)]
mod tests;
