//! What a caller's Envoy holds to with a service: how it opens connections and notices lost ones, how many
//! calls it puts on each, how it chooses and how often it looks. Of calls on one machine it shows nothing,
//! where no peer is lost and no handshake slow; so whoever enforces it is asked.

use std::net::SocketAddr;

use mesh_local::http;
use meshctl::generate::cluster::{GRPC, host};
use serde_json::{Value, json};

/// Its clusters and routes of a service, as istiod has given them to the Envoy that is asked here.
pub async fn given(admin: SocketAddr, service: &str) -> Value {
    let clusters = held(admin, "dynamic_active_clusters", "cluster").await;
    let routes = held(admin, "dynamic_route_configs", "route_config").await;
    let end = format!("|{}", host(service));
    let clusters: Vec<_> = clusters.into_iter().filter(|it| name(it).ends_with(&end)).collect();
    let named = format!("{}:{GRPC}", host(service));
    let hosts = routes.iter().filter_map(|it| it["virtual_hosts"].as_array()).flatten();
    let hosts: Vec<_> = hosts.filter(|it| name(it) == named).collect();
    assert!(!clusters.is_empty() && !hosts.is_empty(), "nothing is given of {service}");
    json!({ "clusters": clusters, "hosts": hosts })
}

fn name(object: &Value) -> &str {
    object["name"].as_str().unwrap_or_default()
}

/// All that an Envoy holds of a kind.
async fn held(admin: SocketAddr, kind: &str, field: &str) -> Vec<Value> {
    let at = format!("/config_dump?resource={kind}");
    let (_, text) = http::request(admin, "GET", &at).await.unwrap();
    let dump: Value = serde_json::from_str(&text).unwrap();
    dump["configs"].as_array().unwrap().iter().map(|it| it[field].clone()).collect()
}
