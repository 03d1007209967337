//! gRPC health and the admin port say the same.

use mesh_local::http;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{doors_of, reflection};
use crate::shop::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn health_of_every_service_is_known_by_every_name() {
    let shop = Shop::with_gateway(|options| options).await;

    for process in shop.platform.services() {
        let name = process.name();
        let health = client(shop.platform.uri(name));
        let channel = Endpoint::from_shared(shop.platform.uri(name)).unwrap().connect_lazy();
        let mut doors = reflection::v1::list(channel).await;
        // Health and reflection themselves have no health.
        doors.retain(|service| !service.starts_with("grpc."));
        for contract in doors_of(name) {
            assert!(doors.contains(&contract), "{name} does not serve {contract}");
        }
        doors.extend(["", "readiness", "liveness"].map(str::to_owned));
        for door in &doors {
            let status = check(&health, door).await;
            assert_eq!(status, Ok(ServingStatus::Serving), "{name} {door:?}");
        }
        let stranger = check(&health, "shop.nobody.v1.NobodyService").await;
        assert_eq!(stranger, Err(Code::NotFound), "{name}");

        let (status, alive) = http::request(process.admin(), "GET", "/healthz").await.unwrap();
        assert_eq!((status, json(&alive)["status"].as_str()), (200, Some("alive")), "{name}");
        let (status, ready) = http::request(process.admin(), "GET", "/readyz").await.unwrap();
        assert_eq!((status, json(&ready)["ready"].as_bool()), (200, Some(true)), "{name}");
        assert_eq!(json(&ready)["service"], name);
    }
    shop.platform.shutdown().await;
}

pub(super) fn client(uri: String) -> HealthClient<Channel> {
    HealthClient::new(Endpoint::from_shared(uri).unwrap().connect_lazy())
}

pub(super) async fn check(
    health: &HealthClient<Channel>,
    service: &str,
) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = health.clone().check(request).await.map_err(|status| status.code())?;
    Ok(answer.into_inner().status())
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}
