//! The services of the shop, and what each declares.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use clap::CommandFactory as _;
use mesh_local::{Declaration, leaves_first};

/// The shop's front door.
pub const GATEWAY: &str = "gateway";

/// Files of the checkout, and their texts.
const DECLARATIONS: [(&str, &str); 9] = [
    ("services/catalog/mesh.toml", include_str!("../../../services/catalog/mesh.toml")),
    ("services/gateway/mesh.toml", include_str!("../../../services/gateway/mesh.toml")),
    ("services/inventory/mesh.toml", include_str!("../../../services/inventory/mesh.toml")),
    ("services/orders/mesh.toml", include_str!("../../../services/orders/mesh.toml")),
    ("services/payments/mesh.toml", include_str!("../../../services/payments/mesh.toml")),
    ("services/processor/mesh.toml", include_str!("../../../services/processor/mesh.toml")),
    ("services/shipping/mesh.toml", include_str!("../../../services/shipping/mesh.toml")),
    ("services/storefront/mesh.toml", include_str!("../../../services/storefront/mesh.toml")),
    ("services/users/mesh.toml", include_str!("../../../services/users/mesh.toml")),
];

/// What operators say of the traffic between them: the file of the checkout, and its text.
pub const TRAFFIC: (&str, &str) =
    ("istio/traffic.toml", include_str!("../../../istio/traffic.toml"));

/// What every service declares.
pub fn declarations() -> Result<Vec<Declaration>> {
    let read = |(path, text)| Declaration::parse(text).context(path);
    sources().map(read).collect()
}

/// Each service's `mesh.toml`: its path in the checkout, and its text.
pub fn sources() -> impl Iterator<Item = (&'static str, &'static str)> {
    DECLARATIONS.into_iter()
}

/// The services' names, callees before their callers.
pub fn names() -> Result<Vec<String>> {
    Ok(leaves_first(&declarations()?))
}

/// The command line of a service's binary; none if there is no such service.
pub fn command(name: &str) -> Option<clap::Command> {
    Some(match name {
        "catalog" => catalog::Config::command(),
        "gateway" => gateway::Config::command(),
        "inventory" => inventory::Config::command(),
        "orders" => orders::Config::command(),
        "payments" => payments::Config::command(),
        "processor" => processor::Config::command(),
        "shipping" => shipping::Config::command(),
        "storefront" => storefront::Config::command(),
        "users" => users::Config::command(),
        _ => return None,
    })
}

/// Whether a service answers HTTP where it answers gRPC: the shop's front door does.
pub fn speaks_http(name: &str) -> bool {
    name == GATEWAY
}

/// Refuses a name that no service has.
pub fn check(name: &str) -> Result<()> {
    let names = names()?;
    if !names.iter().any(|known| known == name) {
        bail!("there is no service `{name}`: say one of {}", names.join(", "));
    }
    Ok(())
}

/// Reads `orders=2`, once or several times.
pub fn replicas(asked: &[String]) -> Result<BTreeMap<String, u32>> {
    let mut replicas = BTreeMap::new();
    for text in asked {
        let (name, count) = text
            .split_once('=')
            .with_context(|| format!("--replicas {text}: say SERVICE=NUMBER, such as orders=2"))?;
        check(name)?;
        match count.parse() {
            Ok(count @ 1..=9) => replicas.insert(name.to_owned(), count),
            _ => bail!("--replicas {text}: the number is 1 to 9"),
        };
    }
    Ok(replicas)
}

/// Reads `orders=v2`, once or several times.
pub fn versions(asked: &[String]) -> Result<BTreeMap<String, String>> {
    let mut versions = BTreeMap::new();
    for text in asked {
        let (name, version) = text
            .split_once('=')
            .with_context(|| format!("--canary {text}: say SERVICE=VERSION, such as orders=v2"))?;
        check(name)?;
        check_version(version).with_context(|| format!("--canary {text}"))?;
        versions.insert(name.to_owned(), version.to_owned());
    }
    Ok(versions)
}

/// Refuses what no version is called.
pub fn check_version(version: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if version.is_empty() || version.len() > 20 || !version.bytes().all(plain) {
        bail!("`{version}`: a version is a word of small letters and digits, such as v2");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{names, replicas, versions};

    #[test]
    fn every_service_declares_itself_and_comes_after_all_it_calls() {
        let names = names().unwrap();
        assert_eq!(names.len(), 9);
        assert_eq!(names[6..], ["storefront", "users", "gateway"]);
    }

    #[test]
    fn replicas_name_a_service_and_a_small_number() {
        assert_eq!(replicas(&["orders=2".to_owned()]).unwrap()["orders"], 2);
        for bad in ["orders", "orders=0", "orders=x", "nobody=2"] {
            assert!(replicas(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_canary_is_a_version_of_a_service_that_there_is() {
        assert_eq!(versions(&["orders=v2".to_owned()]).unwrap()["orders"], "v2");
        for bad in ["orders", "orders=", "orders=V 2", "nobody=v2"] {
            assert!(versions(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
