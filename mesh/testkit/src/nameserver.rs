//! A nameserver whose zones change, that fails on demand, and that remembers what it was asked.
//!
//! ```
//! use mesh_testkit::nameserver::{Nameserver, a, srv};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let nameserver = Nameserver::start(&["shop.test"]).await;
//! nameserver.set("pod.shop.test", 1, &[a("127.0.0.1")]).await;
//! nameserver.set("orders.shop.test", 1, &[srv(0, 50051, "pod.shop.test")]).await;
//!
//! let source: String = nameserver.source("orders.shop.test");
//! assert_eq!(source, format!("dns://{}/orders.shop.test", nameserver.address));
//! # }
//! ```

use std::{
    collections::HashMap,
    fmt::Debug,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hickory_server::{
    net::runtime::{Time, TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{
            LowerName, Name, Record,
            rdata::{A, AAAA, SOA, SRV},
        },
    },
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo, Server},
    store::in_memory::InMemoryZoneHandler,
    zone_handler::{AxfrPolicy, Catalog, MessageResponseBuilder, ZoneHandler, ZoneType},
};
use tokio::net::{TcpListener, UdpSocket};

pub use hickory_server::proto::rr::{RData, RecordType};

type Zone = InMemoryZoneHandler<TokioRuntimeProvider>;

/// What is done with a question instead of answering it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with SERVFAIL.
    ServFail,
    /// It is never answered.
    Silence,
    /// It is answered, 20 ms later.
    Slowness,
}

/// A nameserver on loopback. It is authoritative for the zones it was started with.
pub struct Nameserver {
    /// Where it answers, by UDP and TCP.
    pub address: SocketAddr,
    zones: Vec<(Name, Arc<Zone>)>,
    shared: Arc<Shared>,
    _server: Server<Handler>,
}

#[derive(Default)]
struct Shared {
    faults: Mutex<HashMap<String, Fault>>,
    asked: Mutex<Vec<(String, RecordType, Instant)>>,
}

impl Shared {
    fn faults(&self) -> MutexGuard<'_, HashMap<String, Fault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, Vec<(String, RecordType, Instant)>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Handler {
    catalog: Catalog,
    shared: Arc<Shared>,
}

impl Nameserver {
    /// Starts one that is authoritative for `zones`. What they deny may be kept for 10 s.
    ///
    /// # Panics
    /// If a name is none.
    pub async fn start(zones: &[&str]) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, zones).await
    }

    /// As [`Nameserver::start`], on another address of this machine.
    ///
    /// # Panics
    /// If a name is none.
    pub async fn start_at(ip: Ipv4Addr, zones: &[&str]) -> Self {
        let mut catalog = Catalog::new();
        let zones: Vec<_> = zones.iter().map(|origin| zone(&name(origin))).collect();
        for (origin, zone) in &zones {
            let handler: Arc<dyn ZoneHandler> = zone.clone();
            catalog.upsert(LowerName::new(origin), vec![handler]);
        }
        let shared = Arc::new(Shared::default());
        let mut server = Server::new(Handler { catalog, shared: Arc::clone(&shared) });
        let (udp, tcp) = sockets(ip).await;
        let address = udp.local_addr().expect("a bound socket has an address");
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(60), 64);
        Self { address, zones, shared, _server: server }
    }

    /// A source of endpoints that asks this nameserver for `place`: `dns://SERVER/PLACE`.
    ///
    /// # Panics
    /// If that cannot be read as an `S`.
    pub fn source<S: FromStr<Err: Debug>>(&self, place: &str) -> S {
        let text = format!("dns://{}/{place}", self.address);
        text.parse().expect("a source of endpoints")
    }

    /// Gives a name these records instead of those it had; with none, it does not exist any more.
    ///
    /// # Panics
    /// If the name is in no zone of this nameserver.
    pub async fn set(&self, owner: &str, ttl: u32, records: &[RData]) {
        let owner = name(owner);
        let zone = self.zones.iter().find(|(origin, _)| origin.zone_of(&owner));
        let (_, zone) = zone.expect("a name in a zone of this nameserver");
        let lower = LowerName::new(&owner);
        let mut all = zone.records_mut().await;
        all.retain(|key, _| *key.name() != lower);
        drop(all);
        for data in records {
            zone.upsert(Record::from_rdata(owner.clone(), ttl, data.clone()), 0).await;
        }
    }

    /// Answers no question about `owner`, or about anything if that is `*`, until it is healed.
    pub fn fail(&self, owner: &str, fault: Fault) {
        self.shared.faults().insert(key(owner), fault);
    }

    /// Answers everything again.
    pub fn heal(&self) {
        self.shared.faults().clear();
    }

    /// When it was asked about a name and a type.
    pub fn asked(&self, owner: &str, kind: RecordType) -> Vec<Instant> {
        let asked = self.shared.asked();
        let about = asked.iter().filter(|(name, of, _)| *name == key(owner) && *of == kind);
        about.map(|(_, _, when)| *when).collect()
    }
}

/// An A record.
///
/// # Panics
/// If that is no IPv4 address.
pub fn a(ip: &str) -> RData {
    RData::A(A(ip.parse().expect("an IPv4 address")))
}

/// An AAAA record.
///
/// # Panics
/// If that is no IPv6 address.
pub fn aaaa(ip: &str) -> RData {
    RData::AAAA(AAAA(ip.parse().expect("an IPv6 address")))
}

/// An SRV record.
///
/// # Panics
/// If `target` is no name.
pub fn srv(priority: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, 1, port, name(target)))
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        let query = request.request_info().expect("a question that was parsed").query;
        let owner = key(&query.name().to_string());
        let asked = (owner.clone(), query.query_type(), Instant::now());
        self.shared.asked().push(asked);
        let fault = {
            let faults = self.shared.faults();
            faults.get("*").or_else(|| faults.get(&owner)).copied()
        };
        match fault {
            None => self.catalog.handle_request::<R, T>(request, response).await,
            Some(Fault::Slowness) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.catalog.handle_request::<R, T>(request, response).await
            }
            Some(Fault::Silence) => std::future::pending().await,
            Some(Fault::ServFail) => {
                let answer = MessageResponseBuilder::from_message_request(request)
                    .error_msg(&request.metadata, ResponseCode::ServFail);
                response.send_response(answer).await.expect("an answer fits")
            }
        }
    }
}

fn zone(origin: &Name) -> (Name, Arc<Zone>) {
    let mut zone = Zone::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
    let soa = SOA::new(origin.clone(), origin.clone(), 1, 60, 60, 60, 10);
    zone.upsert_mut(Record::from_rdata(origin.clone(), 10, RData::SOA(soa)), 0);
    (origin.clone(), Arc::new(zone))
}

/// One port for both protocols.
async fn sockets(ip: Ipv4Addr) -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind((ip, 0)).await.expect("a free port");
        let port = tcp.local_addr().expect("a bound socket has an address").port();
        if let Ok(udp) = UdpSocket::bind((IpAddr::from(ip), port)).await {
            return (udp, tcp);
        }
    }
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).expect("a name");
    name.set_fqdn(true);
    name
}

fn key(owner: &str) -> String {
    owner.trim_end_matches('.').to_ascii_lowercase()
}
