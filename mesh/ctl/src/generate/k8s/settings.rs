//! The environment of each service's processes: every variable is one that the service knows, and
//! every one that it cannot do without is there.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::generate::cluster::{
    self, ADMIN, CANARY, COLLECTOR, GRPC, Member, NAMESPACE, Plan, host, principal,
};
use crate::services;

/// How long calls in flight may take to end, in seconds.
pub(super) const DRAIN: u64 = 30;
/// How long a process goes on as before when it is to end, until nobody sends it calls any more.
pub(super) const PRE_STOP: u64 = 5;
/// What comes after the drain: background tasks have to end, and the last signals to leave.
const AFTER: u64 = 15;
/// Until a process that is to end is killed.
pub(super) const GRACE: u64 = PRE_STOP + DRAIN + AFTER;
/// Where Istio's sidecar connects from.
const SIDECAR: &str = "127.0.0.6";
/// The setting with the key that signs users' tokens, that which says how long another one is published
/// before it signs, and how long that is, in seconds: istiod asks an issuer for its keys every 20 minutes.
const SIGNING_KEY: &str = "SIGNING_KEY";
const PUBLISHED_AHEAD: (&str, u32) = ("SIGNING_KEY_AHEAD", 25 * 60);
/// Where operators' values of calls are mounted.
pub(super) const POLICY_FOLDER: &str = "/etc/mesh";
pub(super) const POLICY: &str = "policy";
/// Beside them, what a door does with whoever comes to it: rates, headers.
const EDGE: &str = "edge.toml";
/// Where files are mounted that nobody else may see.
pub(super) const SECRETS_FOLDER: &str = "/etc/mesh-secrets";

/// What is the same for all versions of a service, and secret to nobody.
///
/// # Errors
/// The service knows no such setting, or one that it needs is not among them.
pub(super) fn shared<'m>(plan: &Plan<'_>, member: &Member<'m>) -> Result<Vec<(&'m str, String)>> {
    let (namespace, collector, port) = COLLECTOR;
    let service = member.name();
    let of =
        |call: &mesh_local::Call| format!("{}=mesh:{}:{GRPC}", call.service, host(&call.service));
    let discovery: Vec<_> = member.declared.calls.iter().map(of).collect();
    let mut settings = vec![
        ("ADMIN_ADDR", format!("0.0.0.0:{ADMIN}")),
        ("DISCOVERY", discovery.join(";")),
        ("DRAIN", format!("{DRAIN}s")),
        ("LISTEN_ADDR", format!("0.0.0.0:{GRPC}")),
        ("LOG_FORMAT", "json".to_owned()),
        ("MESH_POLICY", format!("{POLICY_FOLDER}/{POLICY}.toml")),
        (
            "OTLP_ENDPOINT",
            format!("http://{collector}.{namespace}.svc.{}:{port}", cluster::TRUST_DOMAIN),
        ),
        // Metrics are asked for.
        ("OTLP_SIGNALS", "traces,logs".to_owned()),
        // The pod's own hook waits instead.
        ("PRE_STOP", "0s".to_owned()),
        ("SIDECAR_ADDR", SIDECAR.to_owned()),
        ("SPIFFE_ID", format!("spiffe://{}", principal(NAMESPACE, service))),
        ("USER_KEYS", format!("{POLICY_FOLDER}/users.json")),
    ];
    // What the world comes in by says from where; the sidecar between adds nothing.
    if member.is_public() {
        settings.push(("EDGE_FILE", format!("{POLICY_FOLDER}/{EDGE}")));
        // By it whoever asks for a version is led to it, wherever the routes say so.
        settings.push(("FORWARD_METADATA", CANARY.to_owned()));
        settings.push(("TRUSTED_HOPS", format!("{SIDECAR}/32")));
    }
    // Sidecars believe no others.
    if let Some(own) = plan.traffic.own_issuer() {
        settings.push(("USER_AUDIENCE", own.audience().to_owned()));
        settings.push(("USER_ISSUER", own.issuer.clone()));
    }
    for (name, file) in files(member) {
        if name == SIGNING_KEY {
            settings.push((PUBLISHED_AHEAD.0, PUBLISHED_AHEAD.1.to_string()));
        }
        settings.push((name, format!("{SECRETS_FOLDER}/{file}")));
    }
    let own = own(member, "v1");
    let own = own.iter().filter_map(|it| it["name"].as_str());
    check(service, settings.iter().map(|(name, _)| *name).chain(own).collect())?;
    Ok(settings)
}

/// The secrets that a service finds in files: the setting that says where, and the file's name.
pub(super) fn files<'m>(member: &Member<'m>) -> Vec<(&'m str, &'m str)> {
    let secrets = member.declared.secrets.iter();
    secrets.filter_map(|it| Some((&*it.name, it.file.as_deref()?))).collect()
}

/// What differs by version, and what is secret: where it is kept.
pub(super) fn own(member: &Member<'_>, version: &str) -> Vec<Value> {
    let service = member.name();
    let mut settings = vec![json!({ "name": "SERVICE_VERSION", "value": version })];
    let mut secret = |name: &str, secret: String, key: &str| {
        let kept = json!({ "secretKeyRef": { "key": key, "name": secret } });
        settings.push(json!({ "name": name, "valueFrom": kept }));
    };
    if member.declared.store.is_some() {
        secret("DATABASE_URL", database_secret(service), "uri");
    }
    if member.declared.uses_broker() {
        secret("NATS_URL", format!("{service}-nats"), "url");
    }
    for needed in member.declared.secrets.iter().filter(|it| it.file.is_none()) {
        secret(&needed.name, kept(service), &needed.name);
    }
    settings
}

/// The Secret with the address of a service's database, as CloudNativePG names it.
pub(super) fn database_secret(service: &str) -> String {
    format!("{service}-database-app")
}

/// The Secret with what a service alone may see.
pub(super) fn kept(service: &str) -> String {
    format!("{service}-secrets")
}

fn check(service: &str, given: BTreeSet<&str>) -> Result<()> {
    let command = services::command(service);
    let command = command.with_context(|| format!("nobody knows the settings of `{service}`"))?;
    let variable = |argument: &clap::Arg| Some(argument.get_env()?.to_str()?.to_owned());
    let known: BTreeSet<_> = command.get_arguments().filter_map(variable).collect();
    for name in &given {
        ensure!(known.contains(*name), "`{service}` has no setting {name}; see `{service} --help`");
    }
    for argument in command.get_arguments().filter(|argument| argument.is_required_set()) {
        let name = variable(argument).unwrap_or_else(|| argument.get_id().to_string());
        ensure!(given.contains(&*name), "`{service}` needs {name}, and nobody says what it is");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_setting_that_a_service_does_not_know_stops_the_generator() {
        check("orders", ["LISTEN_ADDR", "RESERVATION_HOLD_SECONDS"].into()).unwrap();

        let unknown = check("orders", ["LISTEN_ADRESS"].into()).unwrap_err().to_string();
        assert!(unknown.contains("`orders` has no setting LISTEN_ADRESS"), "{unknown}");
        let nobody = check("nobody", [].into()).unwrap_err().to_string();
        assert!(nobody.contains("nobody knows the settings of `nobody`"), "{nobody}");
    }
}
