//! What Istio's objects and Kubernetes' have to agree on: names, labels, ports, and who is who.

mod traffic;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use mesh_local::{Declaration, Exposure, Methods};
use mesh_policy::{Effective, Method};
use serde_json::{Map, Value, json};

pub use traffic::{Delay, Fault, Ingress, Issuer, Mirror, Route, Traffic};

use super::clients;

/// Where the shop's objects are.
pub const NAMESPACE: &str = "shop";
/// Who vouches for ids.
pub const TRUST_DOMAIN: &str = "cluster.local";
/// Where every service answers calls.
pub const GRPC: u16 = 50051;
/// Where it answers those who operate it; outside of the mesh.
pub const ADMIN: u16 = 9090;
pub(super) const POSTGRES: u16 = 5432;
pub(super) const NATS: u16 = 4222;
/// Where signals go: the collector of `observe/`.
pub const COLLECTOR: (&str, &str, u16) = ("observe", "collector", 4317);
/// Whoever asks with this header, and `true` in it, is led to the version that is tried.
pub const CANARY: &str = "x-canary";
/// What the caller of a service may ask besides what it declares, if it tells others how the service is.
pub const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// Everything that objects are made from.
pub(super) struct Plan<'a> {
    pub services: Vec<Member<'a>>,
    pub traffic: Traffic,
    pub contracts: Effective,
}

/// One service, and what is known of it.
pub(super) struct Member<'a> {
    pub declared: &'a Declaration,
    /// Callers with the paths of the RPCs that they declare, `/package.Service/Method`.
    pub callers: BTreeMap<&'a str, Vec<String>>,
    /// The RPCs of its contract.
    pub methods: Vec<Method>,
}

impl<'a> Plan<'a> {
    /// # Errors
    /// The traffic does not fit what is declared, or a call names what is not there.
    pub fn new(declarations: &'a [Declaration]) -> Result<Plan<'a>> {
        let traffic = Traffic::parse(crate::services::TRAFFIC.1, declarations)?;
        Plan::with(declarations, traffic)
    }

    pub fn with(declarations: &'a [Declaration], traffic: Traffic) -> Result<Plan<'a>> {
        let contracts = clients::contracts()?;
        let of = |declared: &Declaration| -> Vec<Method> {
            let of_it = |method: &&Method| declared.serves(method.service());
            let mut methods: Vec<_> =
                contracts.contracts().methods().filter(of_it).cloned().collect();
            methods.sort_by(|a, b| a.path.cmp(&b.path));
            methods
        };
        let mut services: Vec<Member<'_>> = declarations
            .iter()
            .map(|declared| Member { declared, callers: BTreeMap::new(), methods: of(declared) })
            .collect();
        for caller in declarations {
            for call in &caller.calls {
                let callee = services.iter_mut().find(|it| it.name() == call.service);
                let callee = callee.with_context(|| {
                    format!("{} calls `{}`, which there is not", caller.service, call.service)
                })?;
                let paths = callee.called(&call.methods).with_context(|| {
                    format!("services/{}/mesh.toml calls `{}`", caller.service, call.service)
                })?;
                callee.callers.entry(&caller.service).or_default().extend(paths);
            }
        }
        Ok(Plan { services, traffic, contracts })
    }

    /// The services that outsiders reach.
    pub fn public(&self) -> impl Iterator<Item = &Member<'a>> {
        self.services.iter().filter(|it| it.is_public())
    }
}

impl Member<'_> {
    pub fn name(&self) -> &str {
        &self.declared.service
    }

    pub fn is_public(&self) -> bool {
        self.declared.exposure == Exposure::Public
    }

    /// Where it is declared.
    pub fn source(&self) -> String {
        format!("services/{}/mesh.toml", self.name())
    }

    /// Of the RPC of this name: one in each version of the contract that has it.
    /// The paths of RPCs that somebody calls.
    fn called(&self, methods: &Methods) -> Result<Vec<String>> {
        match methods {
            Methods::All => Ok(self.methods.iter().map(|it| format!("/{}", it.path)).collect()),
            Methods::Named(names) => {
                let paths = names.iter().map(|name| self.paths(name));
                Ok(paths.collect::<Result<Vec<_>>>()?.concat())
            }
        }
    }

    fn paths(&self, name: &str) -> Result<Vec<String>> {
        let ends = format!("/{name}");
        let found = self.methods.iter().filter(|method| method.path.ends_with(&ends));
        let paths: Vec<String> = found.map(|method| format!("/{}", method.path)).collect();
        if paths.is_empty() {
            bail!("{} has no RPC `{name}`", self.name());
        }
        Ok(paths)
    }
}

/// The name of a service in the whole cluster.
pub fn host(service: &str) -> String {
    format!("{service}.{NAMESPACE}.svc.{TRUST_DOMAIN}")
}

/// Who a service is, as AuthorizationPolicies write it.
pub fn principal(namespace: &str, account: &str) -> String {
    format!("{TRUST_DOMAIN}/ns/{namespace}/sa/{account}")
}

/// The label by which a service's pods are known, whatever their version.
pub(super) fn label(service: &str) -> Value {
    json!({ "app": service })
}

/// An object of the shop's namespace.
pub(super) fn object(api: &str, kind: &str, name: &str, mut body: Value) -> Value {
    let mut metadata = json!({ "name": name, "namespace": NAMESPACE });
    if let Some(more) = body.as_object_mut().and_then(|it| it.remove("metadata")) {
        merge(&mut metadata, more);
    }
    let mut object = json!({ "apiVersion": api, "kind": kind, "metadata": metadata });
    merge(&mut object, body);
    object
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}

/// A kustomization of these files, with more of its fields.
pub(super) fn kustomization<'a>(
    files: impl IntoIterator<Item = &'a str>,
    more: Map<String, Value>,
) -> Value {
    let files: Vec<&str> = files.into_iter().collect();
    let mut object = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": files,
    });
    merge(&mut object, Value::Object(more));
    object
}
