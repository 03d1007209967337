//! The gateway's own pages.

use std::{collections::HashMap, time::Duration};

use mesh_policy::{Access, Owner, Table};
use mesh_testkit::patience;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::time::timeout;
use tonic::Status;
use tonic_health::pb::{HealthCheckResponse, health_check_response::ServingStatus};

use crate::{
    bindings::transcoder,
    support::{Gateway, Shop, detail},
    witness::Witness,
};

#[tokio::test]
async fn the_contracts_are_described() {
    let gateway = Gateway::before(&[]).await;

    let page = gateway.get("/openapi.json").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "application/json"));
    let page = page.json().await;
    assert_eq!(page["openapi"], "3.1.0");
    let place = &page["paths"]["/v1/orders"]["post"];
    assert_eq!(place["operationId"], "OrdersService_PlaceOrder");
    let summary = place["summary"].as_str().unwrap();
    assert!(summary.starts_with("Orders what is in the customer's cart"), "{summary}");
    let text = page.to_string();
    assert!(text.contains("CatalogService_GetProduct"));
    for inside in
        ["CatalogService_CreateProduct", "ShippingService_CreateShipment", "PaymentsService"]
    {
        assert!(!text.contains(inside), "{inside} is not reached");
    }
}

#[tokio::test]
async fn the_description_is_what_openapi_allows() {
    let schema: Value = serde_json::from_str(include_str!("openapi-3.1.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults = |page: &Value| {
        let errors = validator.iter_errors(page);
        errors.map(|error| format!("{}: {error}", error.instance_path())).collect::<Vec<_>>()
    };

    let mut page = Gateway::before(&[]).await.get("/openapi.json").await.json().await;
    assert_eq!(faults(&page), Vec::<String>::new());

    page["components"]["securitySchemes"]["userToken"]["scheme"] = json!(["bearer"]);
    assert!(!faults(&page).is_empty(), "the schema looks at how users are known");
}

#[tokio::test]
async fn every_operation_says_who_may_ask_as_its_contract_does() {
    let page = Gateway::before(&[]).await.get("/openapi.json").await.json().await;
    let scheme = &page["components"]["securitySchemes"]["userToken"];
    let form = [&scheme["type"], &scheme["scheme"], &scheme["bearerFormat"]];
    assert_eq!(form, ["http", "bearer", "JWT"]);
    let rules = rules();
    let paths = page["paths"].as_object().unwrap().values();
    let operations: Vec<&Value> = paths.flat_map(|it| it.as_object().unwrap().values()).collect();
    assert_eq!(operations.len(), transcoder().bindings().len());

    let problems: Vec<String> = operations
        .iter()
        .filter_map(|operation| {
            let id = operation["operationId"].as_str().unwrap();
            let access = &rules[id.trim_end_matches(|it: char| it.is_ascii_digit() || it == '_')];
            differs(operation, access).map(|what| format!("{id} ({access}): {what}"))
        })
        .collect();

    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let kinds: [fn(&Access) -> bool; 4] = [
        |it| it.public,
        |it| matches!(it.owner, Some(Owner::Field { .. })),
        |it| it.owner == Some(Owner::Resource),
        |it| !it.permissions.is_empty(),
    ];
    assert!(kinds.iter().all(|kind| rules.values().any(kind)), "a kind of rule was not met");
}

/// The access rules of all RPCs, by the names of their operations.
fn rules() -> HashMap<String, Access> {
    let table = Table::from_descriptors(&[shop::DESCRIPTORS]).unwrap();
    let named = table.methods().map(|method| {
        let name = method.path.rsplit('.').next().unwrap().replace('/', "_");
        (name, method.access.clone())
    });
    named.collect()
}

/// What of an operation is not as its access rule says.
fn differs(operation: &Value, access: &Access) -> Option<String> {
    if access.service {
        // It would take the gateway for the caller, and let everybody in.
        return Some("what customers reach is not for services".to_owned());
    }
    let needed = if access.public { json!([]) } else { json!([{ "userToken": [] }]) };
    if operation["security"] != needed {
        return Some(format!("needs {}", operation["security"]));
    }
    let of_thing = access.owner == Some(Owner::Resource);
    let refusals = [
        ("401", !access.public),
        ("403", !access.public && !access.signed_in && !of_thing),
        ("404", of_thing),
    ];
    for (status, is_met) in refusals {
        if operation["responses"][status].is_object() != is_met {
            return Some(format!("an answer {status} that is met: {is_met}"));
        }
    }
    let mut words: Vec<String> = access.permissions.iter().map(|it| format!("`{it}`")).collect();
    words.extend(access.public.then(|| "everybody".to_owned()));
    if let Some(Owner::Field { name, .. }) = &access.owner {
        words.push(format!("`{name}`"));
    }
    let about = operation["description"].as_str().unwrap();
    let said = about.rsplit("May be called by ").next().unwrap();
    let unsaid = words.into_iter().find(|word| !said.contains(word.as_str()));
    unsaid.map(|word| format!("{word} is not in {said:?}"))
}

#[tokio::test]
async fn the_gateway_is_ready_whatever_the_services_are() {
    let gateway = Gateway::before(&[]).await;

    assert_eq!(gateway.get("/healthz").await.json().await["status"], "alive");
    assert_eq!(gateway.get("/readyz").await.json().await["ready"], true);
    let health = gateway.get("/health").await;
    assert_eq!(health.status, 503);
    let health = health.json().await;
    assert_eq!(health["status"], "unhealthy");
    assert_eq!(health["services"]["orders"]["status"], "unhealthy");
    assert_eq!(gateway.get("/readyz").await.status, 200);
    let post = gateway.tell(http::Method::POST, "/health", "").await;
    assert_eq!((post.status.as_u16(), post.header("allow")), (405, "GET"));
    let asked = post.header("x-request-id").to_owned();
    let error = post.json().await;
    assert_eq!(detail(&error, "ErrorInfo")["reason"], "METHOD_NOT_ALLOWED");
    assert_eq!(detail(&error, "RequestInfo")["requestId"], asked.as_str());
}

#[tokio::test]
async fn services_that_answer_and_services_that_do_not_are_told_apart() {
    let shop = Shop::open().await;

    let health = shop.gateway.get("/health").await;

    assert_eq!(health.status, 200);
    let health = health.json().await;
    assert_eq!(health["status"], "degraded", "{health}");
    assert_eq!(health["services"]["catalog"]["status"], "healthy", "{health}");
    assert_eq!(health["services"]["shipping"]["status"], "unhealthy", "{health}");
    assert!(health["services"]["catalog"]["response_ms"].is_u64());
}

/// Somebody who answers any call as a service that is well answers how it is.
async fn well(witness: Witness) -> Witness {
    let serving = HealthCheckResponse { status: ServingStatus::Serving.into() };
    witness.tells(vec![serving.encode_to_vec()], Status::ok(""));
    witness
}

async fn health(gateway: &Gateway) -> (u16, Value) {
    let health = timeout(patience(), gateway.get("/health")).await.expect("an answer");
    (health.status.as_u16(), health.json().await)
}

#[tokio::test]
async fn a_service_that_says_nothing_has_its_limit_and_no_longer() {
    let (silent, well) = (Witness::silent().await, well(Witness::begin().await).await);
    let places = [("catalog", silent.at), ("orders", well.at), ("users", well.at)];
    let gateway = Gateway::with(&places, |config| config.health_limit_seconds = 0.2).await;

    let (status, health) = health(&gateway).await;

    assert_eq!((status, &health["status"]), (200, &json!("degraded")), "{health}");
    let catalog = &health["services"]["catalog"];
    assert_eq!(catalog["status"], "unhealthy", "{health}");
    assert_eq!(catalog["why"], "no answer in time", "{health}");
    let took = catalog["response_ms"].as_u64().unwrap();
    assert!((150..5_000).contains(&took), "{took} ms of 200");
    assert_eq!(silent.count(), 1, "and it is not asked twice");
}

#[tokio::test]
async fn a_service_that_is_late_is_degraded_and_slow() {
    // More than half of the limit, and less than all of it.
    let late = well(Witness::late(Duration::from_millis(2_200)).await).await;
    let gateway = Gateway::with(&[("catalog", late.at)], |config| {
        config.health_limit_seconds = 4.0;
    })
    .await;

    let (status, health) = health(&gateway).await;

    assert_eq!((status, &health["status"]), (200, &json!("degraded")), "{health}");
    let catalog = &health["services"]["catalog"];
    assert_eq!((&catalog["status"], &catalog["why"]), (&json!("degraded"), &json!("slow")));
}

#[tokio::test]
async fn when_all_services_are_well_everything_is() {
    let well = well(Witness::begin().await).await;
    let services = ["catalog", "orders", "processor", "shipping", "storefront", "users"];
    let gateway = Gateway::with(&services.map(|name| (name, well.at)), |config| {
        config.health_limit_seconds = 20.0;
    })
    .await;

    let (status, health) = health(&gateway).await;

    assert_eq!((status, &health["status"]), (200, &json!("healthy")), "{health}");
    let told = health["services"].as_object().unwrap();
    assert_eq!(told.keys().collect::<Vec<_>>(), services);
    assert!(told.values().all(|it| it["status"] == "healthy" && it.get("why").is_none()));
}
