//! Where the world comes in: the ports of Istio's ingress gateway.

use serde_json::{Value, json};

use crate::generate::cluster::{self, Member, Plan};

/// The Gateway of a public service.
pub(super) fn of(plan: &Plan<'_>, member: &Member<'_>) -> Vec<Value> {
    let ingress = &plan.traffic.ingress;
    let spec = json!({ "spec": {
        "selector": { "istio": ingress.label },
        "servers": [
            {
                "hosts": ingress.hosts,
                "port": { "name": "https", "number": 443, "protocol": "HTTPS" },
                "tls": {
                    "credentialName": credential(member.name()),
                    "minProtocolVersion": "TLSV1_2",
                    "mode": "SIMPLE",
                },
            },
            {
                "hosts": ingress.hosts,
                "port": { "name": "http", "number": 80, "protocol": "HTTP" },
                "tls": { "httpsRedirect": true },
            },
        ],
    } });
    let mut certificate = json!({ "spec": {
        "dnsNames": ingress.hosts,
        "issuerRef": {
            "group": "cert-manager.io",
            "kind": "ClusterIssuer",
            "name": ingress.cluster_issuer,
        },
        "privateKey": { "algorithm": "ECDSA", "rotationPolicy": "Always", "size": 256 },
        "secretName": credential(member.name()),
    } });
    // The ingress gateway reads secrets of its own namespace only.
    certificate["metadata"] = json!({ "namespace": ingress.namespace });
    vec![
        cluster::object("networking.istio.io/v1", "Gateway", member.name(), spec),
        cluster::object(
            "cert-manager.io/v1",
            "Certificate",
            &credential(member.name()),
            certificate,
        ),
    ]
}

fn credential(service: &str) -> String {
    format!("{service}-certificate")
}
