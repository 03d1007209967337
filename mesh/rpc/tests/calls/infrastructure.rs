//! What every server answers besides its contract, and how it answers what it cannot.

use mesh_rpc::{Code, reason};
use tokio_stream::{StreamExt as _, iter};
use tonic::Request;
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
};
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::{Callee, config, get, http, saga};

const SAGAS: &str = "mesh.operator.v1.SagasService";

#[tokio::test]
async fn health_says_what_the_admin_port_says() {
    let callee = Callee::echo().await;
    let admin = callee.service.admin_addr();
    let broken = callee.service.health().condition("database");

    assert!(http(admin, "GET", "/readyz").await.starts_with("HTTP/1.1 503"));
    for name in ["", "readiness", SAGAS] {
        assert_eq!(check(&callee, name).await, Ok(ServingStatus::NotServing), "{name}");
    }
    assert_eq!(check(&callee, "liveness").await, Ok(ServingStatus::Serving));
    assert!(http(admin, "GET", "/healthz").await.starts_with("HTTP/1.1 200"));

    let mut watch = HealthClient::new(callee.channel("health"))
        .watch(Request::new(HealthCheckRequest::default()))
        .await
        .unwrap()
        .into_inner();
    watch.message().await.unwrap();
    broken.ready();
    let told = watch.message().await.unwrap().unwrap().status();
    assert_eq!(told, tonic_health::pb::health_check_response::ServingStatus::Serving);
    assert!(http(admin, "GET", "/readyz").await.starts_with("HTTP/1.1 200"));
    assert_eq!(check(&callee, "nobody").await, Err(Code::NotFound));
    let nobody = HealthCheckRequest { service: "nobody".to_owned() };
    let mut watch = HealthClient::new(callee.channel("health")).watch(nobody).await;
    let told = watch.as_mut().unwrap().get_mut().message().await.unwrap().unwrap();
    let unknown = tonic_health::pb::health_check_response::ServingStatus::ServiceUnknown;
    assert_eq!(told.status(), unknown, "and it is watched all the same, as the protocol says");
    callee.stop().await;
}

#[tokio::test]
async fn reflection_lists_and_describes_what_is_served() {
    use v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let callee = Callee::echo().await;
    let ask = |message_request| ServerReflectionRequest {
        message_request: Some(message_request),
        ..ServerReflectionRequest::default()
    };
    let requests = iter([
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol(SAGAS.to_owned())),
        ask(MessageRequest::FileByFilename("google/protobuf/timestamp.proto".to_owned())),
        ask(MessageRequest::FileContainingSymbol("grpc.health.v1.Health".to_owned())),
        ask(MessageRequest::FileContainingSymbol("google.rpc.ErrorInfo".to_owned())),
        ask(MessageRequest::FileContainingSymbol("google.rpc.BadRequest".to_owned())),
    ]);

    let answers = ServerReflectionClient::new(callee.channel("v1"))
        .server_reflection_info(requests)
        .await
        .unwrap()
        .into_inner();
    let answers: Vec<_> =
        answers.map(|answer| answer.unwrap().message_response.unwrap()).collect().await;

    let MessageResponse::ListServicesResponse(list) = &answers[0] else { panic!("{answers:?}") };
    let mut names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            SAGAS,
        ]
    );
    for answer in &answers[1..] {
        assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{answer:?}");
    }
    callee.stop().await;
}

#[tokio::test]
async fn reflection_is_also_there_for_older_clients() {
    use v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let callee = Callee::echo().await;
    let requests = [SAGAS, "google.rpc.ErrorInfo"].map(|symbol| ServerReflectionRequest {
        message_request: Some(MessageRequest::FileContainingSymbol(symbol.to_owned())),
        ..ServerReflectionRequest::default()
    });

    let mut answers = ServerReflectionClient::new(callee.channel("v1alpha"))
        .server_reflection_info(iter(requests))
        .await
        .unwrap()
        .into_inner();

    for _ in 0..2 {
        let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
        assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{answer:?}");
    }
    callee.stop().await;
}

#[tokio::test]
async fn a_panic_is_an_internal_error_that_tells_nothing() {
    let callee = Callee::start(config(), |_| async { panic!("secret") }).await;
    let channel = callee.channel("panic");

    let status = get(&channel, Request::new(saga("1"))).await.unwrap_err();

    assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
    assert_eq!(reason(&status).as_deref(), Some("PANICKED"));
    let again = get(&channel, Request::new(saga("1"))).await.unwrap_err();
    assert_eq!(again.code(), Code::Internal, "the connection goes on");
    callee.stop().await;
}

#[tokio::test]
async fn a_message_of_five_megabytes_is_refused_clearly() {
    let callee = Callee::echo().await;
    let huge = "x".repeat(5 << 20);

    let status = get(&callee.channel("huge"), Request::new(saga(&huge))).await.unwrap_err();

    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(reason(&status).as_deref(), Some("MESSAGE_TOO_LARGE"));
    callee.stop().await;
}

#[tokio::test]
async fn an_unknown_service_is_unimplemented() {
    use mesh_proto::operator::v1::{
        ListDeadLettersRequest, dead_letters_service_client::DeadLettersServiceClient,
    };
    let callee = Callee::echo().await;

    let status = DeadLettersServiceClient::new(callee.channel("unknown"))
        .list_dead_letters(ListDeadLettersRequest::default())
        .await
        .unwrap_err();

    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(reason(&status).as_deref(), Some("SERVICE_UNKNOWN"));
    callee.stop().await;
}

#[tokio::test]
async fn metrics_count_calls_by_method_and_code() {
    let callee = Callee::echo().await;
    get(&callee.channel("metrics"), Request::new(saga("1"))).await.unwrap();

    let text = http(callee.service.admin_addr(), "GET", "/metrics").await;

    assert!(text.starts_with("HTTP/1.1 200"));
    let line = |name: &str, labels: &[&str]| {
        text.lines()
            .any(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)))
    };
    let labels = ["rpc_method=\"mesh.operator.v1.SagasService/GetSaga\"", "status_code=\"OK\""];
    assert!(line("rpc_server_call_duration_seconds_count", &labels), "{text}");
    let labels = [labels[0], labels[1], "target=\"metrics\""];
    assert!(line("rpc_client_call_duration_seconds_count", &labels), "{text}");
    callee.stop().await;
}

#[tokio::test]
async fn a_crash_point_needs_a_time() {
    let callee = Callee::echo().await;
    let admin = callee.service.admin_addr();

    let answer = http(admin, "POST", "/crash?point=Somewhere").await;

    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    callee.stop().await;
}

async fn check(callee: &Callee, name: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest { service: name.to_owned() };
    let answer = HealthClient::new(callee.channel("health")).check(request).await;
    match answer.map_err(|status| status.code())?.into_inner().status {
        1 => Ok(ServingStatus::Serving),
        _ => Ok(ServingStatus::NotServing),
    }
}
