//! What a client takes that has this platform's contracts and none of its code: gRPC's service
//! config of each service, and a page that says what is lost on the way.

mod facets;
mod fidelity;
mod service_config;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use mesh_local::Declaration;
use mesh_policy::{Effective, Table};

pub use service_config::{Library, MethodConfig, RetryPolicy, ServiceConfig};

use super::Page;

/// Where the service configs lie.
pub const FOLDER: &str = "clients/service_config";
/// The page.
pub const FIDELITY: &str = "docs/GRAPH.md";

/// The service config of each of these services.
pub(super) fn service_configs(declarations: &[Declaration]) -> Result<Vec<Page>> {
    let contracts = contracts()?;
    let mut pages = Vec::new();
    for declaration in declarations.iter().filter(|it| it.contract.is_some()) {
        let service = &declaration.service;
        let packages: Vec<&str> = declaration.packages().collect();
        for library in [Library::Any, Library::Core] {
            let config = ServiceConfig::of(&contracts, service, &packages, library);
            let config = config.with_context(|| format!("services/{service}/mesh.toml"))?;
            let text = format!("{}\n", serde_json::to_string_pretty(&config)?);
            pages.push(Page { path: library.file(service), text });
        }
    }
    Ok(pages)
}

impl Library {
    /// Where its service config of a service lies.
    pub fn file(self, service: &str) -> String {
        match self {
            Library::Any => format!("{FOLDER}/{service}.json"),
            Library::Core => format!("{FOLDER}/core/{service}.json"),
        }
    }
}

/// The page about these services.
pub(super) fn fidelity(declarations: &[Declaration]) -> Result<Vec<Page>> {
    let text = fidelity::page(declarations, &contracts()?)?;
    Ok(vec![Page { path: FIDELITY.to_owned(), text }])
}

pub(super) fn contracts() -> Result<Effective> {
    let table = Table::from_descriptors(&[shop::DESCRIPTORS, mesh_proto::DESCRIPTORS]);
    Ok(Effective::of_contracts(Arc::new(table.context("the contracts' options")?)))
}
