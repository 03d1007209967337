//! Consul agents: a real one, and a stand-in for where there is none.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    sync::{Arc, Mutex},
};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use mesh_rpc::discovery::consul::Consul;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    task::AbortHandle,
};

use super::support::{PATIENCE, eventually};

/// An agent that a test talks to.
pub struct Agent {
    pub http: SocketAddr,
    pub dns: SocketAddr,
    _kind: Kind,
}

enum Kind {
    Real(#[expect(dead_code, reason = "killed when it is dropped")] Child),
    StandIn(AbortHandle),
}

impl Agent {
    /// Starts the agent that the environment variable `CONSUL` names, for itself alone; none if it
    /// names none.
    pub async fn real() -> Option<Self> {
        let Ok(program) = std::env::var("CONSUL") else {
            println!("not tried with a real agent: CONSUL is not the path of its program");
            return None;
        };
        let [http, dns, server, lan, wan] = free_ports();
        let child = Command::new(program)
            .args(["agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", "-log-level=warn"])
            .args(["-grpc-port=-1", "-grpc-tls-port=-1"])
            .args([format!("-http-port={http}"), format!("-dns-port={dns}")])
            .args([format!("-server-port={server}"), format!("-serf-lan-port={lan}")])
            .arg(format!("-serf-wan-port={wan}"))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("CONSUL can be started");
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let agent = Self { http: at(http), dns: at(dns), _kind: Kind::Real(child) };
        let begun = std::time::Instant::now();
        while !agent.get("/v1/status/leader").await.is_some_and(|leader| leader != json!("")) {
            assert!(begun.elapsed() < PATIENCE, "Consul does not answer");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Some(agent)
    }

    /// Starts a stand-in made from the documented API: service registration, TTL checks that never
    /// run out, and health. It has no DNS.
    pub async fn stand_in() -> Self {
        Self::stand_in_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    pub async fn stand_in_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let http = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener)).abort_handle();
        Self { http, dns: http, _kind: Kind::StandIn(serving) }
    }

    pub fn client(&self) -> Consul {
        Consul::new(&format!("http://{}", self.http)).unwrap()
    }

    /// Waits until the agent knows `count` instances of a service, and returns them with the
    /// states of their checks.
    pub async fn instances(&self, service: &str, count: usize) -> Vec<(Value, String)> {
        let mut instances = Vec::new();
        let begun = std::time::Instant::now();
        loop {
            let found = self.get(&format!("/v1/health/service/{service}")).await;
            if let Some(Value::Array(found)) = found {
                instances = found.iter().map(instance).collect();
            }
            if instances.len() == count {
                return instances;
            }
            assert!(begun.elapsed() < PATIENCE, "not {count} but {instances:?}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Waits until the one instance of a service has a check in this state.
    pub async fn until(&self, service: &str, status: &str) {
        let begun = std::time::Instant::now();
        while self.instances(service, 1).await[0].1 != status {
            assert!(begun.elapsed() < PATIENCE, "{service} is not {status}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let stream = TcpStream::connect(self.http).await.ok()?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let request = Request::get(path).header("host", "consul").body(String::new()).unwrap();
        let response = sender.send_request(request).await.ok()?;
        let body = response.into_body().collect().await.ok()?.to_bytes();
        serde_json::from_slice(&body).ok()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Kind::StandIn(serving) = &self._kind {
            serving.abort();
        }
    }
}

/// An instance, and the state of the check that is its own.
fn instance(found: &Value) -> (Value, String) {
    let checks = found["Checks"].as_array().unwrap();
    let own = checks.iter().find(|check| check["ServiceID"] == found["Service"]["ID"]);
    let status = own.map_or("none", |check| check["Status"].as_str().unwrap());
    (found["Service"].clone(), status.to_owned())
}

type Registered = Arc<Mutex<BTreeMap<String, (Value, String)>>>;

async fn serve(listener: TcpListener) {
    let registered = Registered::default();
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let registered = Arc::clone(&registered);
        let answer = service_fn(move |request| answer(request, Arc::clone(&registered)));
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), answer);
        connections.spawn(async { _ = connection.await });
    }
}

async fn answer(
    request: Request<Incoming>,
    registered: Registered,
) -> Result<Response<String>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut registered = registered.lock().unwrap();
    let path = parts.uri.path().strip_prefix("/v1/").unwrap_or_default();
    let (place, id) = path.rsplit_once('/').unwrap_or_default();
    let unknown = || (StatusCode::NOT_FOUND, format!("Unknown ID {id:?}"));
    let (status, text) = match (&parts.method, place) {
        _ if parts.headers.get("x-consul-token").is_some_and(|token| token != "secret") => {
            (StatusCode::FORBIDDEN, "ACL not found".to_owned())
        }
        (&Method::PUT, "agent/service") if id == "register" => {
            let id = body["ID"].as_str().unwrap().to_owned();
            let status = body["Check"]["Status"].as_str().unwrap().to_owned();
            registered.insert(id, (body, status));
            (StatusCode::OK, String::new())
        }
        (&Method::PUT, "agent/service/deregister") => match registered.remove(id) {
            Some(_) => (StatusCode::OK, String::new()),
            None => unknown(),
        },
        (&Method::PUT, "agent/check/update") => {
            let instance = id.strip_prefix("service:").and_then(|id| registered.get_mut(id));
            instance.map_or_else(unknown, |(_, status)| {
                body["Status"].as_str().unwrap().clone_into(status);
                (StatusCode::OK, String::new())
            })
        }
        (&Method::GET, "agent/service") => {
            registered.get(id).map_or_else(unknown, |(body, _)| (StatusCode::OK, body.to_string()))
        }
        (&Method::GET, "health/service") => {
            let of_service = registered.values().filter(|(body, _)| body["Name"] == json!(id));
            let shown = of_service.map(|(body, status)| {
                let mut service = body.clone();
                service["Service"] = service["Name"].clone();
                json!({
                    "Service": service,
                    "Checks": [{ "ServiceID": body["ID"], "Status": status }],
                })
            });
            (StatusCode::OK, Value::Array(shown.collect()).to_string())
        }
        _ => (StatusCode::NOT_FOUND, "no such path".to_owned()),
    };
    Ok(Response::builder().status(status).body(text).unwrap())
}

fn free_ports<const N: usize>() -> [u16; N] {
    let sockets = [(); N].map(|()| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    sockets.map(|socket| socket.local_addr().unwrap().port())
}

/// Waits until the agent at `address` accepts connections no more.
pub async fn until_gone(address: SocketAddr) {
    eventually("the agent to go", || std::net::TcpStream::connect(address).is_err()).await;
}
