//! A gateway before a catalog and an orders service, each in this process on a database of its own.

use std::{net::SocketAddr, path::PathBuf, sync::LazyLock};

use bytes::Bytes;
use clap::Parser as _;
use http::{Method, Request, header};
use mesh_runtime::{Service, ServiceConfig};
use mesh_testkit::{Answer, Database, browse};
use tokio::{runtime::Runtime, sync::OnceCell, task::spawn_blocking};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

/// Nobody listens there.
pub const NOWHERE: &str = "127.0.0.1:9";
/// What the catalog sells from the beginning.
pub const MUG: &str = "MUG-BLUE-350";

/// A running gateway.
pub struct Gateway {
    pub at: SocketAddr,
    pub service: Service,
}

impl Gateway {
    /// Before services at these places; those that are not named are nowhere.
    pub async fn before(places: &[(&str, SocketAddr)]) -> Self {
        Self::with(places, |_| ()).await
    }

    pub async fn with(
        places: &[(&str, SocketAddr)],
        adjust: impl FnOnce(&mut gateway::Config),
    ) -> Self {
        Self::try_with(places, adjust).await.unwrap()
    }

    /// The same, or why it does not start.
    pub async fn try_with(
        places: &[(&str, SocketAddr)],
        adjust: impl FnOnce(&mut gateway::Config),
    ) -> anyhow::Result<Self> {
        let place = |name: &str| {
            let known = places.iter().find(|(known, _)| *known == name);
            let at = known.map_or_else(|| NOWHERE.to_owned(), |(_, at)| at.to_string());
            format!("{name}=static:{at}")
        };
        let mut config = gateway::Config::parse_from(["gateway"]);
        config.service.discovery =
            ["catalog", "orders", "processor", "shipping", "storefront", "users"]
                .map(place)
                .join(";");
        config.service.log_level = "error".to_owned();
        adjust(&mut config);
        let started = gateway::start(config).await?;
        Ok(Self { at: started.grpc, service: started.service })
    }

    pub fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.at)).unwrap().connect_lazy()
    }

    pub async fn send(&self, request: Request<Bytes>) -> Answer {
        browse(self.at, request).await.unwrap()
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.send(Request::get(target).body(Bytes::new()).unwrap()).await
    }

    /// Sends JSON.
    pub async fn tell(&self, method: Method, target: &str, json: &str) -> Answer {
        let request = Request::builder().method(method).uri(target);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Bytes::copy_from_slice(json.as_bytes())).unwrap()).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.service.stop();
    }
}

/// A gateway before services that all tests share: each has customers and orders of its own.
pub struct Shop {
    pub gateway: Gateway,
}

impl Shop {
    pub async fn open() -> Self {
        Self::open_with(|_| ()).await
    }

    pub async fn open_with(adjust: impl FnOnce(&mut gateway::Config)) -> Self {
        static SERVICES: OnceCell<[SocketAddr; 2]> = OnceCell::const_new();
        // Not the runtime of the test that comes first, which ends with it.
        static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
        let begin = || RUNTIME.block_on(services());
        let begun = SERVICES.get_or_init(|| async { spawn_blocking(begin).await.unwrap() });
        let [catalog, orders] = *begun.await;
        let places = [("catalog", catalog), ("orders", orders)];
        Self { gateway: Gateway::with(&places, adjust).await }
    }
}

/// Begins a catalog and an orders service, which end with the process.
async fn services() -> [SocketAddr; 2] {
    let catalog_database = Database::empty("catalog", &catalog::MIGRATIONS).await;
    let mut config = catalog::Config::parse_from(["catalog"]);
    config.service = config_of(&catalog_database, String::new());
    let catalog = catalog::start(config).await.unwrap();
    let orders_database = Database::empty("orders", &orders::MIGRATIONS).await;
    let mut config = orders::Config::parse_from(["orders"]);
    let neighbours = ["inventory", "payments", "shipping"];
    let places = neighbours.map(|name| format!("{name}=static:{NOWHERE}")).join(";");
    let places = format!("catalog=static:{};{places}", catalog.grpc);
    config.service = config_of(&orders_database, places);
    let orders = orders::start(config).await.unwrap();
    // With their databases, which a later test sweeps away.
    std::mem::forget([catalog_database, orders_database]);
    [catalog.grpc, orders.grpc]
}

/// The settings of a service that keeps its state there, and finds others at these places.
pub fn config_of(database: &Database, discovery: String) -> ServiceConfig {
    ServiceConfig {
        database_url: Some(database.url().parse().unwrap()),
        nats_url: Some("nats://127.0.0.1:9".parse().unwrap()),
        discovery,
        log_level: "error".to_owned(),
        ..ServiceConfig::default()
    }
}

/// A directory that goes away with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("gateway-{}", uuid()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A file in it.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn uuid() -> String {
    Uuid::now_v7().to_string()
}

/// A detail of an error in JSON.
pub fn detail<'a>(error: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let url = format!("type.googleapis.com/google.rpc.{name}");
    let mut all = error["details"].as_array().unwrap().iter();
    all.find(|detail| detail["@type"] == url.as_str()).unwrap_or_else(|| panic!("{name}: {error}"))
}
