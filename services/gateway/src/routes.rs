//! What can be reached: the RPCs that this service declares to call, and the channels to them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use mesh_policy::{Served, Table};
use mesh_rpc::{Channel, Deprecated, Discovery};
use mesh_runtime::Service;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use serde::Deserialize;

/// The declaration that this service is built with.
const DECLARATION: &str = include_str!("../mesh.toml");

/// The part of it that says whom it calls.
#[derive(Deserialize)]
struct Declaration {
    calls: Vec<Calls>,
}

#[derive(Deserialize)]
struct Calls {
    service: String,
    methods: Vec<String>,
}

/// An RPC that can be reached.
#[derive(Clone, Debug)]
pub(crate) struct Rpc {
    pub(crate) descriptor: MethodDescriptor,
    pub(crate) channel: Channel,
    /// `/package.Service/Method`.
    pub(crate) path: Arc<str>,
    /// When it ends, if its contract says so.
    pub(crate) deprecated: Option<Deprecated>,
    /// Whether everybody may call it, signed in or not.
    pub(crate) is_public: bool,
}

/// The RPCs that can be reached, by path.
#[derive(Debug)]
pub(crate) struct Routes {
    pub(crate) pool: DescriptorPool,
    rpcs: HashMap<Arc<str>, Rpc>,
    channels: Vec<(String, Channel)>,
}

impl Routes {
    /// Connects to every service that this one declares to call, by these contracts.
    pub(crate) fn connect(
        service: &Service,
        discovery: &Discovery,
        contracts: &Table,
    ) -> Result<Self> {
        let pool = DescriptorPool::decode(shop::DESCRIPTORS).context("the contracts")?;
        let mut routes = Self { pool, rpcs: HashMap::new(), channels: Vec::new() };
        let declared: Declaration = toml::from_str(DECLARATION).context("mesh.toml")?;
        let served = Served::declared(shop::DECLARATIONS.iter().copied())?;
        for Calls { service: target, methods } in &declared.calls {
            let channel = discovery.channel(service, target)?;
            for method in methods {
                for descriptor in find(&routes.pool, &served, target, method)? {
                    let path: Arc<str> = path(&descriptor).into();
                    let contract = contracts.method(path.trim_start_matches('/'));
                    let deprecated = contract.and_then(Deprecated::of);
                    let is_public = contract.is_some_and(|contract| contract.access.public);
                    let (channel, name) = (channel.clone(), Arc::clone(&path));
                    let rpc = Rpc { descriptor, channel, path: name, deprecated, is_public };
                    routes.rpcs.insert(path, rpc);
                }
            }
            routes.channels.push((target.clone(), channel));
        }
        Ok(routes)
    }

    /// The RPC at `/package.Service/Method`.
    pub(crate) fn find(&self, path: &str) -> Option<&Rpc> {
        self.rpcs.get(path)
    }

    /// The RPC of a binding.
    pub(crate) fn of(&self, descriptor: &MethodDescriptor) -> Option<&Rpc> {
        self.rpcs.get(path(descriptor).as_str())
    }

    /// All of them, as their contracts list them.
    pub(crate) fn descriptors(&self) -> Vec<MethodDescriptor> {
        let all = self.pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        all.filter(|descriptor| self.of(descriptor).is_some()).collect()
    }

    /// The services, and the channels to them.
    pub(crate) fn channels(&self) -> &[(String, Channel)] {
        &self.channels
    }
}

fn path(descriptor: &MethodDescriptor) -> String {
    format!("/{}/{}", descriptor.parent_service().full_name(), descriptor.name())
}

/// The RPCs of that name in what the service `target` declares to serve: one in each version of its contract
/// that has it.
fn find(
    pool: &DescriptorPool,
    served: &Served,
    target: &str,
    method: &str,
) -> Result<Vec<MethodDescriptor>> {
    let services = pool.services().filter(|service| served.by(target, service.full_name()));
    let named = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    let found: Vec<_> = named.filter(|rpc| rpc.name() == method).collect();
    let packages = found.iter().map(|rpc| rpc.parent_service().package_name().to_owned());
    let packages: HashSet<String> = packages.collect();
    match (found.len(), packages.len()) {
        (0, _) => bail!("mesh.toml: the contract of {target} has no RPC `{method}`"),
        (rpcs, versions) if rpcs > versions => {
            bail!("mesh.toml: a version of {target}'s contract has several RPCs `{method}`")
        }
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_found_in_every_version_that_its_service_declares_to_serve() {
        let pool = DescriptorPool::decode(shop::DESCRIPTORS).unwrap();
        let found = |declared: &str, method: &str| {
            let served = Served::declared([declared]).unwrap();
            let found = find(&pool, &served, "catalog", method).map_err(|it| it.to_string())?;
            let names = found.iter().map(|it| it.full_name().replace("shop.catalog.", ""));
            Ok::<_, String>(names.collect::<Vec<_>>())
        };
        let both = "service = \"catalog\"\ncontract = \"shop.catalog.v1\"\n\
                    beside = [\"shop.catalog.v2\"]";
        let first = "service = \"catalog\"\ncontract = \"shop.catalog.v1\"";

        let old = "v1.CatalogService.GetCategory".to_owned();
        let new = "v2.CategoriesService.GetCategory".to_owned();
        assert_eq!(found(both, "GetCategory"), Ok(vec![old.clone(), new]));
        assert_eq!(found(first, "GetCategory"), Ok(vec![old]), "what is not declared is not found");
        for (declared, method) in [(both, "GetOrder"), ("service = \"catalog\"", "GetCategory")] {
            let refused = found(declared, method).unwrap_err();
            assert!(refused.contains("the contract of catalog has no RPC"), "{refused}");
        }
    }
}
