//! A callee and a caller with everything that a server and a channel put around a call.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use mesh_echo::{
    DESCRIPTORS, Echo, EchoService, EchoServiceClient, EchoServiceServer,
    v1::{AddRequest, ListRequest, ReadRequest},
};
use mesh_policy::{Effective, Overlay, Table, values};
use mesh_rpc::{
    Channel, Code, Server, discovery::Endpoints, policy::LivePolicy, server::ServerLimits,
};
use mesh_runtime::{Service, ServiceConfig};
use serde_json::Value;
use tokio::{net::TcpSocket, sync::watch, time::sleep};
use tonic::Status;

/// Longer than anything here should take.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const MS: Duration = Duration::from_millis(1);

/// The lab's contract, and what an overlay says about it.
pub fn policy(overlay: &str) -> LivePolicy {
    let contracts = Table::from_descriptors(&[DESCRIPTORS, mesh_proto::DESCRIPTORS]).unwrap();
    let overlay = Overlay::parse(overlay).unwrap();
    LivePolicy::fixed(Effective::new(Arc::new(contracts), &overlay).unwrap())
}

pub fn config() -> ServiceConfig {
    ServiceConfig { log_level: "off".to_owned(), ..ServiceConfig::default() }
}

/// A server of the lab's contract.
pub struct Callee<S = Echo> {
    pub echo: S,
    pub address: SocketAddr,
    pub service: Service,
    pub limits: ServerLimits,
}

impl<S: EchoService + Clone> Callee<S> {
    pub async fn start(echo: S) -> Self {
        Self::set(echo, values::Server::default()).await
    }

    pub async fn set(echo: S, values: values::Server) -> Self {
        Self::with(echo, values, config(), |server| server).await
    }

    pub async fn with(
        echo: S,
        values: values::Server,
        config: ServiceConfig,
        more: impl FnOnce(Server) -> Server,
    ) -> Self {
        let service = Service::begin("echo", &config).await.unwrap();
        let server = Server::new(&service, &[DESCRIPTORS])
            .add(EchoServiceServer::new(echo.clone()))
            .policy(&policy(""))
            .values(watch::Sender::new(values).subscribe());
        let mut server = more(server.seed(7));
        let limits = server.limits();
        let address = server.serve(config.listen_addr).await.unwrap();
        Self { echo, address, service, limits }
    }

    /// Calls or connections under way, as the table tells.
    pub fn in_flight(&self, layer: &str) -> usize {
        let rows = self.limits.table();
        rows.iter().filter(|row| row.layer == layer).map(|row| row.in_flight).sum()
    }

    pub async fn stop(self) {
        self.service.stop();
        tokio::time::timeout(PATIENCE, self.service.finish()).await.expect("ends in time");
    }
}

/// A channel by the lab's contract, and as an overlay says.
#[derive(Clone)]
pub struct Stack {
    pub channel: Channel,
}

impl Stack {
    pub fn new(target: &'static str, addresses: &[SocketAddr]) -> Self {
        Self::set(target, addresses, "")
    }

    pub fn set(target: &'static str, addresses: &[SocketAddr], overlay: &str) -> Self {
        let builder = Channel::builder("lab", target).policy(&policy(overlay)).seed(1);
        Self { channel: builder.follow(&Endpoints::fixed(addresses)) }
    }

    /// As behind a sidecar that connects to the address.
    pub fn behind_sidecar(target: &'static str, address: SocketAddr) -> Self {
        let source = format!("mesh:{address}").parse().unwrap();
        let builder = Channel::builder("lab", target).policy(&policy("")).seed(1);
        Self { channel: builder.follow(&Endpoints::follow(&source)) }
    }

    pub fn client(&self) -> EchoServiceClient<Channel> {
        EchoServiceClient::new(self.channel.clone())
    }

    /// What operators see of it.
    pub fn table(&self) -> Value {
        self.channel.table()
    }

    /// What they see of one endpoint.
    pub fn endpoint(&self, address: SocketAddr) -> Value {
        let table = self.table();
        let rows = table["endpoints"].as_array().unwrap();
        rows.iter().find(|row| row["address"] == address.to_string()).unwrap().clone()
    }

    pub fn breaker(&self, address: SocketAddr) -> String {
        self.endpoint(address)["breaker"].as_str().unwrap().to_owned()
    }

    /// Waits until the endpoints take calls.
    pub async fn connected(&self) {
        eventually("the endpoints are ready", || {
            let table = self.table();
            table["endpoints"].as_array().unwrap().iter().all(|row| row["state"] == "READY")
        })
        .await;
    }
}

pub fn read(text: &str) -> ReadRequest {
    ReadRequest { text: text.to_owned() }
}

pub fn add(text: &str) -> AddRequest {
    AddRequest { text: text.to_owned() }
}

/// Asks for a stream that says the text every `pause` until it is given up.
pub fn endless(text: &str, pause: Duration) -> ListRequest {
    let pause = prost_types::Duration::try_from(pause).unwrap();
    ListRequest { text: text.to_owned(), count: u32::MAX, pause: Some(pause) }
}

/// A handler's word.
pub fn failed(code: Code) -> Status {
    Status::with_details(code, "not now", Bytes::new())
}

/// What endpoints do, changed while they run.
#[derive(Clone)]
pub struct Knob(Arc<Mutex<(Duration, Code)>>);

impl Knob {
    pub fn new(delay: Duration, code: Code) -> Self {
        Self(Arc::new(Mutex::new((delay, code))))
    }

    pub fn set(&self, delay: Duration, code: Code) {
        *self.0.lock().unwrap() = (delay, code);
    }

    pub fn echo(&self) -> Echo {
        let knob = self.clone();
        Echo::new(move |asked| {
            let (delay, code) = *knob.0.lock().unwrap();
            async move {
                sleep(delay).await;
                if code == Code::Ok { Ok(asked.text) } else { Err(failed(code)) }
            }
        })
    }
}

/// A service that never answers.
pub fn stuck() -> Echo {
    Echo::new(|_| std::future::pending())
}

/// An address that refuses connections as long as the socket, which does not listen, keeps it.
pub fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Waits until `what` is true.
#[track_caller]
pub fn eventually(what: &str, mut ask: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let begin = tokio::time::Instant::now();
        while !ask() {
            assert!(begin.elapsed() < PATIENCE, "{caller}: waited in vain for: {what}");
            sleep(MS).await;
        }
    }
}

/// The value of the metric with this name that is about `target`, all labels summed.
pub fn metric(name: &str, target: &str) -> f64 {
    let target = format!("target=\"{target}\"");
    let text = mesh_runtime::metrics::render().unwrap();
    text.lines()
        .filter(|line| line.split(['{', ' ']).next() == Some(name) && line.contains(&target))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Keeps tests apart that need most of the machine.
pub async fn alone() -> tokio::sync::MutexGuard<'static, ()> {
    ALONE.lock().await
}
