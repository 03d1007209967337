//! What every service answers besides its contract: health, reflection, metrics, logs, traces, and
//! an orderly end.

mod collector;
mod drain;
mod errands;
mod health;
mod reflection;
mod telemetry;

use prost::Message as _;
use prost_types::FileDescriptorSet;

/// Some full names that a process answers to: those of its contract, and of the gateway, which has none, one that
/// it passes on.
fn doors_of(process: &str) -> Vec<String> {
    match process {
        "gateway" => vec!["shop.orders.v1.OrdersService".to_owned()],
        service => contract_services(service),
    }
}

/// Full names of the services that a service's contract has.
pub fn contract_services(service: &str) -> Vec<String> {
    let versions = format!("shop.{service}.v");
    let set = FileDescriptorSet::decode(shop::DESCRIPTORS).unwrap();
    let files = set.file.iter().filter(|file| file.package().starts_with(&versions));
    let names = files.flat_map(|file| {
        file.service.iter().map(move |it| format!("{}.{}", file.package(), it.name()))
    });
    let names: Vec<_> = names.collect();
    assert!(!names.is_empty(), "{service} has a contract");
    names
}
