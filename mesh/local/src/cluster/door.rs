//! Where the world comes in: the names under which customers know the shop lead here, by TLS, and from
//! here to a sidecar. In a cluster that is what the zone of a domain, an ingress gateway and
//! cert-manager do together.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Cluster, Sidecar};
use crate::{Authority, CertificateFiles, Holder, ProcessSpec, free_port, private_dir};

/// Who is called by which name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door<'a> {
    /// The names of the shop, which its certificate has.
    pub hosts: &'a [String],
    /// Where TLS is spoken in their name.
    pub address: SocketAddr,
    /// The sidecar that takes the calls in.
    pub sidecar: SocketAddr,
    /// Whom it is told to call.
    pub authority: &'a str,
}

impl Cluster {
    /// Where istiod looks for names that are not the cluster's own: nobody else knows them here.
    pub(super) fn names(&self) -> SocketAddr {
        super::control::at(self.known.names)
    }

    /// A process that opens the door: for customers at its address, and for istiod by its names. The
    /// certificate is of the cluster's own authority, `pki/ca.pem` of its folder.
    ///
    /// # Errors
    /// What it reads cannot be written.
    pub fn door(&self, door: &Door<'_>) -> Result<Sidecar> {
        let dir = self.dir.join("door");
        private_dir(&dir, None).with_context(|| format!("cannot use {}", dir.display()))?;
        let authority =
            Authority::open(&self.dir.join("pki"))?.with_life(super::control::CERTIFIED);
        let names = door.hosts.to_vec();
        let issued = authority.issue_to(&Holder::Named { dir: dir.clone(), names })?;
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let settings = settings(door, self.names(), admin, &issued.files);
        let file = dir.join("envoy.json");
        crate::write_private(&file, &settings.to_string())?;
        Ok(Sidecar { spec: self.envoy(&dir, &file), admin })
    }

    fn envoy(&self, dir: &Path, file: &Path) -> ProcessSpec {
        let words = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "error"];
        let mut args: Vec<std::ffi::OsString> = vec!["--config-path".into(), file.into()];
        args.extend(words.map(Into::into));
        ProcessSpec {
            name: "door".to_owned(),
            replica: 0,
            program: self.tools.envoy.clone(),
            args,
            env: Vec::new(),
            directory: Some(dir.to_owned()),
            log: dir.join("log"),
            pid_file: None,
            user: None,
            stop: Signal::TERM,
        }
    }
}

fn settings(
    door: &Door<'_>,
    names: SocketAddr,
    admin: SocketAddr,
    files: &CertificateFiles,
) -> Value {
    let tunnel = json!({ "upgrade_type": "CONNECT", "connect_config": {} });
    let named = json!({
        "name": "hosts",
        "domains": door.hosts.iter().map(|host| format!("{host}:443")).collect::<Vec<_>>(),
        "routes": [{
            "match": { "connect_matcher": {} },
            "route": { "cluster": "door", "upgrade_configs": [tunnel] },
        }],
    });
    let ports = door.hosts.iter().flat_map(|host| [host.clone(), format!("{host}:*")]);
    let inward = json!({
        "name": "hosts",
        "domains": ports.collect::<Vec<_>>(),
        "routes": [{
            "match": { "prefix": "/" },
            // A watch lasts as long as its caller says.
            "route": { "cluster": "sidecar", "host_rewrite_literal": door.authority, "timeout": "0s" },
        }],
    });
    let mut tunnels = connections(&named);
    tunnels["typed_config"]["upgrade_configs"] = json!([{ "upgrade_type": "CONNECT" }]);
    let by_tls = json!({ "transport_socket": tls(files), "filters": [connections(&inward)] });
    json!({
        "admin": { "address": place(admin) },
        "static_resources": {
            "listeners": [
                { "name": "names", "address": place(names), "filter_chains": [{ "filters": [tunnels] }] },
                { "name": "door", "address": place(door.address), "filter_chains": [by_tls] },
            ],
            "clusters": [cluster("door", door.address), cluster("sidecar", door.sidecar)],
        },
    })
}

fn connections(hosts: &Value) -> Value {
    let name = "envoy.filters.http.router";
    let router = json!({ "@type": kind("filters.http.router.v3.Router") });
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": kind("filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": "door",
            "route_config": { "virtual_hosts": [hosts] },
            "http_filters": [{ "name": name, "typed_config": router }],
        },
    })
}

fn tls(files: &CertificateFiles) -> Value {
    let certificate = json!({
        "certificate_chain": { "filename": files.certificate },
        "private_key": { "filename": files.key },
    });
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": kind("transport_sockets.tls.v3.DownstreamTlsContext"),
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [certificate],
            },
        },
    })
}

/// In whichever HTTP a call comes, it goes on.
fn cluster(name: &str, address: SocketAddr) -> Value {
    let options = json!({
        "@type": kind("upstreams.http.v3.HttpProtocolOptions"),
        "use_downstream_protocol_config": { "http2_protocol_options": {} },
    });
    let endpoint = json!({ "endpoint": { "address": place(address) } });
    json!({
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [endpoint] }],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options,
        },
    })
}

fn place(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

fn kind(name: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.{name}")
}
