//! How the gateway is, by gRPC, as balancers and orchestrators ask it.

use mesh_rpc::{Code, reason};
use tonic::{Status, Streaming};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};

use crate::support::Gateway;

/// Names that it answers to: its own, and those of services that it passes on to.
const NAMES: [&str; 3] = ["", "readiness", "shop.orders.v1.OrdersService"];
/// One that lies behind it, which nobody reaches here.
const HIDDEN: &str = "shop.payments.v1.PaymentsService";

async fn check(gateway: &Gateway, name: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest { service: name.to_owned() };
    let answer = HealthClient::new(gateway.channel()).check(request).await;
    answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
}

async fn watch(gateway: &Gateway, name: &str) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest { service: name.to_owned() };
    HealthClient::new(gateway.channel()).watch(request).await.unwrap().into_inner()
}

async fn next(
    watch: &mut Streaming<HealthCheckResponse>,
) -> Result<Option<ServingStatus>, Box<Status>> {
    Ok(watch.message().await?.map(|told| told.status()))
}

#[tokio::test]
async fn who_asks_is_told_how_the_gateway_is_itself() {
    let gateway = Gateway::before(&[]).await;

    for name in NAMES.into_iter().chain(["liveness"]) {
        let told = check(&gateway, name).await;
        assert_eq!(told, Ok(ServingStatus::Serving), "{name:?}: no service is there, and it is");
    }
    assert_eq!(check(&gateway, HIDDEN).await, Err(Code::NotFound));
    let part = gateway.service.health().condition("part");
    part.down("broken");
    for name in NAMES {
        assert_eq!(check(&gateway, name).await, Ok(ServingStatus::NotServing), "{name:?}");
    }
    assert_eq!(check(&gateway, "liveness").await, Ok(ServingStatus::Serving));
}

#[tokio::test]
async fn who_watches_is_told_at_once_and_of_every_change_until_it_ends() {
    let gateway = Gateway::before(&[]).await;
    let mut watches = Vec::new();
    for name in NAMES {
        watches.push(watch(&gateway, name).await);
    }
    let mut hidden = watch(&gateway, HIDDEN).await;
    assert_eq!(next(&mut hidden).await.unwrap(), Some(ServingStatus::ServiceUnknown));
    for watch in &mut watches {
        assert_eq!(next(watch).await.unwrap(), Some(ServingStatus::Serving));
    }

    let part = gateway.service.health().condition("part");
    for watch in &mut watches {
        assert_eq!(next(watch).await.unwrap(), Some(ServingStatus::NotServing), "it is new");
    }
    part.degraded("another reason is no change");
    for watch in &mut watches {
        assert_eq!(next(watch).await.unwrap(), Some(ServingStatus::Serving));
    }
    part.degraded("still able to answer");

    gateway.service.stop();
    for watch in &mut watches {
        assert_eq!(next(watch).await.unwrap(), Some(ServingStatus::NotServing));
        let ended = next(watch).await.unwrap_err();
        assert_eq!((ended.code(), &*reason(&ended).unwrap()), (Code::Unavailable, "STOPPED"));
    }
    let ended = next(&mut hidden).await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable, "and nothing else was told of it");
    gateway.service.finish().await;
}
