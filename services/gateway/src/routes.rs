//! What can be reached: the RPCs that this service declares to call, and the channels to them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use mesh_policy::Table;
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
        for Calls { service: target, methods } in &declared.calls {
            let channel = discovery.channel(service, target)?;
            for method in methods {
                for descriptor in find(&routes.pool, target, method)? {
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

/// The RPCs of that name in the contract of the service `target`: one in each of its versions that has it.
fn find(pool: &DescriptorPool, target: &str, method: &str) -> Result<Vec<MethodDescriptor>> {
    let contract = format!("shop.{target}.v");
    let is_version = |package: &str| {
        let version = package.strip_prefix(&contract);
        version.is_some_and(|it| it.parse::<u16>().is_ok())
    };
    let services = pool.services().filter(|service| is_version(service.package_name()));
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
