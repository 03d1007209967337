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

/// Full names of the services that a service's contract has.
pub fn contract_services(service: &str) -> Vec<String> {
    let package = format!("shop.{service}.v1");
    let set = FileDescriptorSet::decode(shop::DESCRIPTORS).unwrap();
    let files = set.file.iter().filter(|file| file.package() == package);
    let names = files.flat_map(|file| &file.service).map(|s| format!("{package}.{}", s.name()));
    let names: Vec<_> = names.collect();
    assert!(!names.is_empty(), "{service} has a contract");
    names
}
