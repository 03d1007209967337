//! Registering with Consul, for those who find services through it.
//!
//! Finding needs nothing of this: Consul answers DNS, so `dns://127.0.0.1:8600/orders.service.consul`
//! is a [`Source`](super::Source) as any other. This is the other side: a service tells the agent
//! on its machine where it is once it is ready, and that it goes before it does.
//!
//! ```no_run
//! use std::{net::SocketAddr, time::Duration};
//!
//! use mesh_rpc::discovery::consul::{Check, Consul, Registration};
//! use mesh_runtime::{ConfigError, Service};
//!
//! fn announce(service: &Service, address: SocketAddr) -> Result<(), ConfigError> {
//!     let registration = Registration::of(service, address)?
//!         .with_version(env!("CARGO_PKG_VERSION"))
//!         .with_check(Check::Ttl(Duration::from_secs(10)));
//!     Consul::new("http://127.0.0.1:8500")?.keep(service, registration);
//!     Ok(())
//! }
//! ```

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use http::{Method, Request, StatusCode, header::HOST};
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mesh_runtime::{ConfigError, Hold, Readiness, Secret, Service};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// The agent is on this machine: one that takes longer is not well.
const LIMIT: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_secs(1);
/// Times that leaving is tried; it must not hold up the drain for long.
const FAREWELLS: usize = 2;
/// How often an agent that asks itself is asked whether it still knows us.
const ROLL_CALL: Duration = Duration::from_secs(10);
/// What was not well for this long is forgotten by the agent; it allows no less.
const FORGOTTEN_AFTER: &str = "1m";
const MAX_ANSWER: usize = 64 << 10;

/// A Consul agent's HTTP API.
#[derive(Clone, Debug)]
pub struct Consul {
    /// `HOST:PORT`.
    agent: String,
    token: Option<Secret>,
}

/// One instance of a service, as Consul shows it to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    id: String,
    name: String,
    address: SocketAddr,
    tags: Vec<String>,
    version: Option<String>,
    check: Check,
}

/// How the agent finds out whether an instance is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The instance says so; when it has said nothing for this long, it is not well.
    Ttl(Duration),
    /// The agent asks the instance's `grpc.health.v1.Health`, in plaintext, this often.
    Grpc {
        /// The time between two questions.
        every: Duration,
    },
}

/// Why the agent did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be reached, or not understood.
    #[error("the Consul agent cannot be reached: {0}")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It said no.
    #[error("the Consul agent answered {status}: {why}")]
    Refused {
        /// The answer's status.
        status: StatusCode,
        /// Its text.
        why: String,
    },
}

impl Registration {
    /// Describes `service`, which others reach at `address`; its id is new with every start. The
    /// agent is told every 5 s that it is well, which holds for 15 s.
    ///
    /// # Errors
    /// If nobody else can reach `address` because its IP or its port is 0.
    pub fn of(service: &Service, address: SocketAddr) -> Result<Self, ConfigError> {
        Self::new(service.name(), &service.instance().to_string(), address)
    }

    /// Describes the instance `instance`, of letters, digits and `-`, of the service `name`.
    ///
    /// # Errors
    /// As of [`of`](Self::of).
    pub fn new(name: &str, instance: &str, address: SocketAddr) -> Result<Self, ConfigError> {
        if address.ip().is_unspecified() || address.port() == 0 {
            return Err(ConfigError(format!("nobody can reach `{address}`: not to be registered")));
        }
        let id = format!("{name}-{instance}");
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !id.bytes().all(is_plain) {
            return Err(ConfigError(format!("`{id}` has other than letters, digits and `-`")));
        }
        Ok(Self {
            id,
            name: name.to_owned(),
            address,
            tags: Vec::new(),
            version: None,
            check: Check::Ttl(Duration::from_secs(15)),
        })
    }

    /// Adds tags, which DNS queries can ask for: `TAG.orders.service.consul`.
    pub fn with_tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Says which version runs; it is shown as the metadata `version`.
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Has its health found out in another way.
    pub fn with_check(mut self, check: Check) -> Self {
        self.check = check;
        self
    }

    /// What names this instance to the agent.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn body(&self) -> Value {
        let mut check = match self.check {
            Check::Ttl(ttl) => json!({ "TTL": duration(ttl) }),
            Check::Grpc { every } => json!({
                "GRPC": self.address.to_string(),
                "GRPCUseTLS": false,
                "Interval": duration(every),
                "Timeout": duration(every.min(LIMIT)),
            }),
        };
        check["CheckID"] = json!(self.check_id());
        check["Name"] = json!(format!("{} is ready", self.name));
        // It registers when it is ready: nobody has to wait for the first check.
        check["Status"] = json!("passing");
        check["DeregisterCriticalServiceAfter"] = json!(FORGOTTEN_AFTER);
        let meta = self.version.iter().map(|version| ("version".to_owned(), json!(version)));
        let ip: IpAddr = self.address.ip();
        json!({
            "ID": self.id,
            "Name": self.name,
            "Address": ip.to_string(),
            "Port": self.address.port(),
            "Tags": self.tags,
            "Meta": Value::Object(meta.collect()),
            "Check": check,
        })
    }

    fn check_id(&self) -> String {
        format!("service:{}", self.id)
    }
}

impl Consul {
    /// Returns the agent at `http://HOST:PORT` or `HOST:PORT`. Nothing is asked yet.
    pub fn new(agent: &str) -> Result<Self, ConfigError> {
        let place = agent.trim().trim_end_matches('/');
        let place = place.strip_prefix("http://").unwrap_or(place);
        let is_place = place.parse::<http::uri::Authority>().is_ok_and(|place| {
            place.port_u16().is_some_and(|port| port > 0) && !place.as_str().contains('@')
        });
        if !is_place {
            return Err(ConfigError(format!("`{agent}` is not http://HOST:PORT")));
        }
        Ok(Self { agent: place.to_owned(), token: None })
    }

    /// Shows the agent an ACL token.
    pub fn with_token(mut self, token: Secret) -> Self {
        self.token = Some(token);
        self
    }

    /// Registers an instance as well, or again.
    pub async fn register(&self, registration: &Registration) -> Result<(), Error> {
        let path = "/v1/agent/service/register?replace-existing-checks=true";
        self.ask(Method::PUT, path, Some(registration.body())).await
    }

    /// Takes an instance out, so that nobody is sent to it any more.
    pub async fn deregister(&self, registration: &Registration) -> Result<(), Error> {
        let path = format!("/v1/agent/service/deregister/{}", registration.id);
        self.ask(Method::PUT, &path, None).await
    }

    /// Says whether an instance with a [`Check::Ttl`] is well, and if not, why.
    pub async fn tell(
        &self,
        registration: &Registration,
        well: Result<(), &str>,
    ) -> Result<(), Error> {
        let path = format!("/v1/agent/check/update/{}", registration.check_id());
        let status = if well.is_ok() { "passing" } else { "critical" };
        let body = json!({ "Status": status, "Output": well.err().unwrap_or_default() });
        self.ask(Method::PUT, &path, Some(body)).await
    }

    /// Fails with [`Error::Refused`] if the agent does not know the instance.
    pub async fn look_up(&self, registration: &Registration) -> Result<(), Error> {
        self.ask(Method::GET, &format!("/v1/agent/service/{}", registration.id), None).await
    }

    /// Keeps an instance registered from when `service` is ready until it begins to drain; the
    /// latter is the first thing of the drain, and the service has not stopped before it is done.
    ///
    /// An agent that is away or forgets is told again. Must be called inside a tokio runtime.
    pub fn keep(self, service: &Service, registration: Registration) {
        let keeper = Keeper { consul: self, service: service.clone(), registration };
        service.spawn("consul", keeper.run(service.hold()));
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<(), Error> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.agent);
        if let Some(token) = &self.token {
            request = request.header("x-consul-token", token.expose());
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.body(body).map_err(unreachable)?;
        let (status, why) = timeout(LIMIT, self.send(request)).await.map_err(unreachable)??;
        if status.is_success() { Ok(()) } else { Err(Error::Refused { status, why }) }
    }

    /// One connection for each request: there is one in some seconds.
    async fn send(&self, request: Request<String>) -> Result<(StatusCode, String), Error> {
        let stream = TcpStream::connect(&self.agent).await.map_err(unreachable)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(unreachable)?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(unreachable)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            let text = String::from_utf8_lossy(&body.map_err(Error::Unreachable)?.to_bytes())
                .trim()
                .to_owned();
            drop(sender);
            Ok((status, text))
        };
        let (answer, _) = futures::future::join(exchange, connection).await;
        answer
    }
}

struct Keeper {
    consul: Consul,
    service: Service,
    registration: Registration,
}

impl Keeper {
    async fn run(self, hold: Hold) {
        let draining = self.service.draining();
        let mut readiness = self.service.health().watch();
        let ready = readiness.wait_for(|readiness| readiness.ready);
        if matches!(draining.run_until_cancelled(ready).await, Some(Ok(_))) {
            self.stay(&mut readiness, &draining).await;
            self.leave().await;
        }
        drop(hold);
    }

    /// Registers, and sees to it that it stays so until the drain begins.
    ///
    /// What was said to the agent is waited for, even then: it must not overtake the farewell.
    async fn stay(&self, readiness: &mut watch::Receiver<Readiness>, draining: &CancellationToken) {
        self.register(draining).await;
        let mut ticks = interval(match self.registration.check {
            Check::Ttl(ttl) => (ttl / 3).max(Duration::from_millis(1)),
            Check::Grpc { .. } => ROLL_CALL,
        });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !draining.is_cancelled() {
            tokio::select! {
                () = draining.cancelled() => return,
                _ = ticks.tick() => {}
                Ok(()) = readiness.changed() => {}
            }
            let now = readiness.borrow_and_update().clone();
            let told = match self.registration.check {
                Check::Ttl(_) => {
                    let why = reasons(&now);
                    let well = if now.ready { Ok(()) } else { Err(why.as_str()) };
                    self.consul.tell(&self.registration, well).await
                }
                Check::Grpc { .. } => self.consul.look_up(&self.registration).await,
            };
            match told {
                Ok(()) => {}
                // The agent was started anew, and has forgotten.
                Err(Error::Refused { .. }) if now.ready => self.register(draining).await,
                Err(error) => tracing::warn!(%error, "consul was not told how this service is"),
            }
        }
    }

    async fn leave(&self) {
        for _ in 0..FAREWELLS {
            match self.consul.deregister(&self.registration).await {
                Ok(()) => return tracing::info!(id = self.registration.id, "left consul"),
                // It does not know us, so nobody finds us through it.
                Err(Error::Refused { status: StatusCode::NOT_FOUND, .. }) => return,
                Err(error) => tracing::warn!(%error, "consul was not told to forget this service"),
            }
        }
    }

    async fn register(&self, draining: &CancellationToken) {
        while !draining.is_cancelled() {
            match self.consul.register(&self.registration).await {
                Ok(()) => {
                    return tracing::info!(id = self.registration.id, "registered with consul");
                }
                Err(error) => tracing::warn!(%error, "not registered with consul"),
            }
            draining.run_until_cancelled(sleep(RETRY)).await;
        }
    }
}

fn reasons(readiness: &Readiness) -> String {
    let down = readiness.conditions.iter().filter(|condition| !condition.why.is_empty());
    down.map(|condition| format!("{}: {}", condition.name, condition.why))
        .collect::<Vec<_>>()
        .join("; ")
}

/// As Go reads durations.
fn duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

fn unreachable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Unreachable(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_health_check_of_the_agent_s_own_names_the_server() {
        let registration = Registration::new("orders", "1", ([10, 0, 0, 1], 50051).into())
            .unwrap()
            .with_check(Check::Grpc { every: Duration::from_secs(5) });

        let check = &registration.body()["Check"];

        assert_eq!(check["GRPC"], "10.0.0.1:50051");
        assert_eq!((&check["Interval"], &check["Timeout"]), (&json!("5000ms"), &json!("2000ms")));
        assert_eq!(check["CheckID"], "service:orders-1");
        assert_eq!(check["TTL"], Value::Null);
    }
}
