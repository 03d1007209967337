//! A good request to each RPC, made anew each time, with what has to be there for it.

mod catalog;
mod catalog_v2;
mod inventory;
mod operators;
mod orders;
mod payments;
mod processor;
pub mod shipping;
mod storefront;
mod users;

use serde_json::{Value, json};

use super::call::Rpc;
use crate::shop::Shop;

/// How a change is repeated.
pub struct Change {
    /// Label of its crash point.
    pub label: &'static str,
    /// JSON pointer to a field, and a value that makes the content another.
    pub other: (&'static str, Value),
}

impl Change {
    fn new(label: &'static str, place: &'static str, value: impl Into<Value>) -> Self {
        Self { label, other: (place, value.into()) }
    }
}

/// Says which RPCs have no good request or, if they change something, no way to repeat it.
///
/// It reads the files, so that it can be asked before a shop is opened: who has added an RPC hears at
/// once what is to be added here, and not from the logs of all services.
///
/// # Panics
/// If something is missing.
pub fn check(rpcs: &[Rpc]) {
    let mut missing = Vec::new();
    for rpc in rpcs {
        let (package, method) = parts(&rpc.path);
        let file = match package.strip_prefix("shop.") {
            Some(service) => {
                format!("tests/generated/samples/{}.rs", service.replace('.', "_"))
            }
            None => "tests/generated/samples/operators.rs".to_owned(),
        };
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let (samples, changes) = text.split_once("pub fn change").unwrap_or((&text, ""));
        let arm = format!("\"{method}\"");
        if !samples.contains(&arm) {
            missing.push(format!("{}: add a good request to it in {file}", rpc.path));
        }
        if rpc.has_request_id && !changes.contains(&arm) {
            let how = "add to change() how it is repeated, in";
            missing.push(format!("{}: {how} {file}", rpc.path));
        }
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

/// A good request to an RPC, as JSON, with as many of its fields as go together.
pub async fn sample(shop: &Shop, path: &str) -> Value {
    let (package, method) = parts(path);
    match package {
        "mesh.operator" => operators::sample(shop, method).await,
        "shop.catalog" => catalog::sample(shop, method).await,
        "shop.catalog.v2" => catalog_v2::sample(shop, method).await,
        "shop.inventory" => inventory::sample(shop, method).await,
        "shop.orders" => orders::sample(shop, method).await,
        "shop.payments" => payments::sample(shop, method).await,
        "shop.processor" => processor::sample(shop, method).await,
        "shop.shipping" => shipping::sample(shop, method).await,
        "shop.storefront" => storefront::sample(shop, method).await,
        "shop.users" => users::sample(shop, method).await,
        _ => unreachable!("{path} was checked"),
    }
}

/// How a change is repeated.
pub fn change(path: &str) -> Change {
    let (package, method) = parts(path);
    let change = match package {
        "mesh.operator" => operators::change(method),
        "shop.catalog" => catalog::change(method),
        "shop.catalog.v2" => catalog_v2::change(method),
        "shop.inventory" => inventory::change(method),
        "shop.orders" => orders::change(method),
        "shop.payments" => payments::change(method),
        "shop.processor" => processor::change(method),
        "shop.shipping" => shipping::change(method),
        "shop.storefront" => storefront::change(method),
        "shop.users" => users::change(method),
        _ => None,
    };
    change.unwrap_or_else(|| unreachable!("{path} was checked"))
}

/// Package, without its version if that is the first, and method.
fn parts(path: &str) -> (&str, &str) {
    let (service, method) = path.split_once('/').unwrap();
    let (package, _) = service.rsplit_once('.').unwrap();
    (package.strip_suffix(".v1").unwrap_or(package), method)
}

fn euros(units: i64) -> Value {
    json!({"currencyCode": "EUR", "units": units.to_string(), "nanos": 500_000_000})
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
