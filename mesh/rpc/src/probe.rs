//! The errand `health`: a service's program asks the one that runs how it is, so that a container needs
//! neither a shell nor another program for it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures::future::FutureExt as _;
use http::{Request, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mesh_runtime::{ConfigError, Errand, ServiceConfig};
use tokio::{net::TcpStream, time::timeout};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    Channel, Identity,
    deadline::timeout_request,
    discovery::Endpoints,
    tls::{Credentials, TlsFiles},
};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(3);
const ABOUT: &str = "Asks the service at LISTEN_ADDR how it is: exits 0 if it is well, else 1";

/// What to ask.
#[derive(clap::Args)]
struct Question {
    /// `readiness`, `liveness`, or a service of its contract
    #[arg(long, default_value = "readiness")]
    service: String,
}

/// Asks `grpc.health.v1.Health`, by TLS if the service has a certificate.
pub fn health() -> Errand {
    Errand::new("health", ABOUT, |name, config, question: Question| {
        async move {
            let address = own_address(&config)?;
            let what = question.service;
            let request = HealthCheckRequest { service: what.clone() };
            let identity = match TlsFiles::configured(&config)? {
                Some(files) => Credentials::follow(files)?.into(),
                None => Identity::default(),
            };
            let channel = Channel::builder(name, name).identity(&identity)?;
            let channel = channel.follow(&Endpoints::fixed(&[address]));
            let answer = HealthClient::new(channel).check(timeout_request(request, LIMIT)).await;
            match answer.map(|answer| answer.into_inner().status()) {
                Ok(ServingStatus::Serving) => Ok(format!("{what} at {address}: serving")),
                Ok(_) => bail!("{what} at {address}: not serving"),
                Err(status) => bail!("{what} at {address}: {}", status.message()),
            }
        }
        .boxed_local()
    })
}

/// Asks for `/readyz` and `/healthz`, in plaintext: for a door that speaks HTTP to everybody.
pub fn http_health() -> Errand {
    Errand::new("health", ABOUT, |_, config, question: Question| {
        async move {
            let address = own_address(&config)?;
            let what = question.service;
            let path = match what.as_str() {
                "readiness" => "/readyz",
                "liveness" => "/healthz",
                other => bail!("`{other}` is not asked about: say readiness or liveness"),
            };
            let asked = timeout(LIMIT, get(address, path)).await;
            let status = asked
                .map_err(|_| anyhow::anyhow!("no answer within {LIMIT:?}"))
                .and_then(|answer| answer)
                .with_context(|| format!("{what} at {address}"))?;
            if !status.is_success() {
                bail!("{what} at {address}: not serving ({status})");
            }
            Ok(format!("{what} at {address}: serving"))
        }
        .boxed_local()
    })
}

async fn get(address: SocketAddr, path: &'static str) -> anyhow::Result<http::StatusCode> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header(header::HOST, address.to_string());
    let answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    Ok(answer.status())
}

/// Where the service listens, as this machine reaches it.
fn own_address(config: &ServiceConfig) -> Result<SocketAddr, ConfigError> {
    let mut address = config.listen_addr;
    if address.port() == 0 {
        return Err(ConfigError(
            "LISTEN_ADDR names no port, so nobody knows where the service is: set what it was \
             started with"
                .to_owned(),
        ));
    }
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_all_interfaces_is_asked_on_this_machine() {
        let own = |address: &str| {
            let listen_addr = address.parse().unwrap();
            own_address(&ServiceConfig { listen_addr, ..ServiceConfig::default() })
        };

        assert_eq!(own("0.0.0.0:7").unwrap(), "127.0.0.1:7".parse().unwrap());
        assert_eq!(own("[::]:7").unwrap(), "[::1]:7".parse().unwrap());
        assert_eq!(own("10.0.0.1:7").unwrap(), "10.0.0.1:7".parse().unwrap());
        assert!(own("127.0.0.1:0").unwrap_err().to_string().contains("LISTEN_ADDR"));
    }
}
