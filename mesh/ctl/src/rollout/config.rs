//! What an Envoy has been told of the versions of a service, from its own pages.

use std::net::SocketAddr;

use serde_json::Value;

use crate::generate::cluster::{GRPC, host};
use crate::generate::istio::EVERYBODY;

/// What Envoy calls a version of a service.
pub fn cluster(service: &str, version: &str) -> String {
    format!("outbound|{GRPC}|{version}|{}", host(service))
}

/// Whether it knows that a version is at this address, by its page `/clusters`; none if it does not call
/// the service's `old` version either.
pub fn knows(page: &str, service: &str, [old, new]: [&str; 2], at: SocketAddr) -> Option<bool> {
    let has = |version: &str, more: &str| {
        let begin = format!("{}::{more}", cluster(service, version));
        page.lines().any(|line| line.starts_with(&begin))
    };
    has(old, "").then(|| has(new, &format!("{at}::")))
}

/// Whether it sends this share of a hundred calls to a version, by its page `/config_dump`; none if it
/// routes no calls to the service.
pub fn in_force(dump: &Value, service: &str, version: &str, percent: u32) -> Option<bool> {
    let mut found = Vec::new();
    shares(dump, service, version, &mut found);
    (!found.is_empty()).then(|| found.iter().all(|share| *share == u64::from(percent)))
}

/// Of each route for everybody to the service: of a hundred calls, those to the version.
fn shares(value: &Value, service: &str, version: &str, found: &mut Vec<u64>) {
    match value {
        Value::Array(items) => items.iter().for_each(|it| shares(it, service, version, found)),
        Value::Object(fields) => {
            let route =
                fields.get("route").filter(|_| fields.get("name") == Some(&EVERYBODY.into()));
            match route {
                Some(route) => found.extend(share(route, service, version)),
                None => fields.values().for_each(|it| shares(it, service, version, found)),
            }
        }
        _ => {}
    }
}

fn share(route: &Value, service: &str, version: &str) -> Option<u64> {
    let (wanted, end) = (cluster(service, version), format!("|{}", host(service)));
    let targets: Vec<(&str, u64)> = match route["weighted_clusters"]["clusters"].as_array() {
        Some(all) => {
            let of = |it: &'_ Value| it["weight"].as_u64().unwrap_or_default();
            all.iter().filter_map(|it| Some((it["name"].as_str()?, of(it)))).collect()
        }
        None => vec![(route["cluster"].as_str()?, 100)],
    };
    if !targets.iter().any(|(name, _)| name.ends_with(&end)) {
        return None;
    }
    Some(targets.iter().filter(|(name, _)| *name == wanted).map(|(_, weight)| weight).sum())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CATALOG: &str = "catalog.shop.svc.cluster.local";

    fn dump(route: Value) -> Value {
        let other = json!({ "name": "all", "route": {
            "cluster": "outbound|50051|v1|orders.shop.svc.cluster.local" } });
        let asked = json!({ "name": "canary", "route": {
            "cluster": format!("outbound|50051|v2|{CATALOG}") } });
        let hosts = json!([{ "routes": [other] }, { "routes": [asked, { "name": "all", "route": route }] }]);
        json!({ "configs": [{ "route_config": { "virtual_hosts": hosts } }] })
    }

    #[test]
    fn a_share_is_in_force_where_every_route_for_everybody_has_it() {
        let to = |version: &str, weight: u32| json!({ "name": cluster("catalog", version), "weight": weight });
        let weighted = json!({ "weighted_clusters": { "clusters": [to("v1", 95), to("v2", 5)] } });
        let spread = dump(weighted);

        assert_eq!(in_force(&spread, "catalog", "v2", 5), Some(true));
        assert_eq!(in_force(&spread, "catalog", "v1", 95), Some(true));
        assert_eq!(in_force(&spread, "catalog", "v2", 25), Some(false));
        assert_eq!(in_force(&spread, "payments", "v2", 5), None, "it does not call payments");
        let whole = dump(json!({ "cluster": cluster("catalog", "v1") }));
        assert_eq!(in_force(&whole, "catalog", "v2", 0), Some(true));
        assert_eq!(in_force(&whole, "catalog", "v1", 100), Some(true));
    }

    #[test]
    fn a_version_is_known_by_its_address() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let page = format!(
            "outbound|50051|v1|{CATALOG}::observability_name::x\n\
             outbound|50051|v1|{CATALOG}::127.1.2.3:50051::cx_active::1\n\
             outbound|50051|v2|{CATALOG}::127.1.2.30:50051::cx_active::1\n"
        );

        assert_eq!(knows(&page, "catalog", ["v1", "v2"], at("127.1.2.30:50051")), Some(true));
        assert_eq!(knows(&page, "catalog", ["v1", "v2"], at("127.1.2.3:50051")), Some(false));
        assert_eq!(knows(&page, "orders", ["v1", "v2"], at("127.1.2.3:50051")), None);
    }
}
