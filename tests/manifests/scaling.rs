//! Autoscalers by calls: what they ask for somebody makes, of a series that is there, where it is kept.

use std::collections::BTreeMap;
use std::fs;

use bytes::Bytes;
use http::{Request, uri::PathAndQuery};
use mesh_testkit::{eventually, workspace};
use serde_json::Value;
use tonic::client::Grpc;
use tonic_prost::ProstCodec;

use super::world::{CONTRACTS, World, documents, items, selects};
use crate::shop::Shop;

/// The metric that the autoscaler of each service asks for.
fn asked(world: &World) -> BTreeMap<&str, &str> {
    let mut asked = BTreeMap::new();
    for declared in &world.declarations {
        for version in &declared.versions {
            let name = format!("{}-{version}", declared.service);
            let scaler = world.find("HorizontalPodAutoscaler", &name).unwrap();
            let metrics = items(&scaler["spec"]["metrics"]);
            let pods: Vec<_> = metrics.filter(|it| it["type"] == "Pods").collect();
            let [pods] = pods[..] else { panic!("{name} asks for {} metrics", pods.len()) };
            asked.insert(&*declared.service, pods["pods"]["metric"]["name"].as_str().unwrap());
        }
    }
    asked
}

fn read(path: &str) -> Vec<Value> {
    documents(&fs::read_to_string(workspace().join(path)).unwrap())
}

/// Each metric that the adapter makes, with the name of its series.
fn made(values: &Value) -> BTreeMap<String, String> {
    let of = |rule: &Value| {
        let metric = rule["name"]["as"].as_str().unwrap().to_owned();
        let series = rule["seriesQuery"].as_str().unwrap().split('{').next().unwrap().to_owned();
        (metric, series)
    };
    items(&values["rules"]["custom"]).map(of).collect()
}

#[test]
fn what_autoscalers_ask_for_is_made_and_nothing_else() {
    let world = World::read();
    let values = &read("k8s/adapter/values.yaml")[0];
    let made = made(values);

    let mut asked: Vec<_> = asked(&world).into_values().collect();
    asked.sort_unstable();
    asked.dedup();

    assert_eq!(asked, made.keys().map(String::as_str).collect::<Vec<_>>());
    for rule in items(&values["rules"]["custom"]) {
        // By pod of a namespace, as an autoscaler asks; as the scraper names what it has scraped.
        let series = rule["seriesQuery"].as_str().unwrap();
        assert!(series.ends_with("{namespace!=\"\",pod!=\"\"}"), "{series}");
        for resource in ["namespace", "pod"] {
            assert_eq!(rule["resources"]["overrides"][resource]["resource"], resource);
        }
        assert!(rule["metricsQuery"].as_str().unwrap().starts_with("sum(rate("));
    }
}

/// The operator's own Service leads to it, in its namespace; and it asks every service.
#[test]
fn the_adapter_asks_a_prometheus_that_scrapes_the_services() {
    let world = World::read();
    let prometheus = &read("k8s/adapter/values.yaml")[0]["prometheus"];
    assert_eq!(prometheus["url"], "http://prometheus-operated.observe.svc.cluster.local");
    assert_eq!(prometheus["port"], 9090);

    let list = &read("observe/kustomization.yaml")[0];
    assert_eq!(list["namespace"], "observe");
    assert!(items(&list["resources"]).any(|it| it == "k8s/prometheus.yaml"));
    let objects = read("observe/k8s/prometheus.yaml");
    let find = |kind: &str| objects.iter().find(|it| it["kind"] == kind).unwrap();
    let spec = &find("Prometheus")["spec"];
    assert_eq!(spec["serviceMonitorSelector"], serde_json::json!({}));
    let wanted = &spec["serviceMonitorNamespaceSelector"]["matchLabels"];
    assert!(selects(wanted, &serde_json::json!({ "kubernetes.io/metadata.name": "shop" })));
    // It may find pods: by its account, which the role is bound to.
    let account = &find("ServiceAccount")["metadata"]["name"];
    assert_eq!(&spec["serviceAccountName"], account);
    assert_eq!(&find("ClusterRoleBinding")["subjects"][0]["name"], account);
    let role = &find("ClusterRole")["rules"];
    for resource in ["pods", "services", "endpointslices"] {
        let rule = items(role).find(|it| items(&it["resources"]).any(|it| it == resource));
        assert_eq!(rule.unwrap()["verbs"], serde_json::json!(["get", "list", "watch"]));
    }

    let monitor = world.find("ServiceMonitor", "services").unwrap();
    let port = &monitor["spec"]["endpoints"][0]["port"];
    for declared in &world.declarations {
        let service = world.find("Service", &format!("{}-each", declared.service)).unwrap();
        let labels = &service["metadata"]["labels"];
        assert!(selects(&monitor["spec"]["selector"]["matchLabels"], labels), "{labels}");
        assert!(items(&service["spec"]["ports"]).any(|it| &it["name"] == port), "{service}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_counts_what_its_autoscaler_asks_for() {
    let world = World::read();
    let made = made(&read("k8s/adapter/values.yaml")[0]);
    let shop = Shop::with_gateway(|options| options).await;

    for (service, metric) in asked(&world) {
        ask(&shop, &world, service).await;
        let begin = format!("{}{{", made[metric]);
        eventually(&format!("{service} to count {metric}"), async || {
            let metrics = shop.platform.service(service).metrics().await;
            let mut mine = metrics.lines().filter(|line| line.starts_with(&begin));
            mine.any(|line| line.contains(&format!("service=\"{service}\"")))
        })
        .await;
    }
    shop.platform.shutdown().await;
}

/// Any call of its contract, whatever comes of it; a page of the door.
async fn ask(shop: &Shop, world: &World, service: &str) {
    let declared = world.declared(service).unwrap();
    let mut methods = CONTRACTS.methods();
    let Some(method) = methods.find(|method| declared.serves(method.service())) else {
        let request = Request::get("/v1/products").body(Bytes::new()).unwrap();
        mesh_testkit::browse(shop.platform.grpc(service), request).await.unwrap();
        return;
    };
    let mut client = Grpc::new(shop.channel(service));
    client.ready().await.unwrap();
    let path = PathAndQuery::try_from(format!("/{}", method.path)).unwrap();
    let codec = ProstCodec::<(), ()>::default();
    let _ = client.unary(tonic::Request::new(()), path, codec).await;
}
