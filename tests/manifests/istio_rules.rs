//! What must hold of Istio's objects.

use std::time::Duration;

use super::rules::Must::{Be, Count, Elsewhere, Fit, Say};
use super::rules::{Rule, Seen, is_service, rule};
use super::world::{
    AUTHORIZATION, CERTIFICATE, CONTRACTS, DESTINATION, GATEWAY, MTLS, ROUTES, SIDECAR, TELEMETRY,
    TOKENS,
};

pub const RULES: &[Rule] = &[
    rule(MTLS, "apiVersion", Say("security.istio.io/v1")),
    rule(MTLS, "kind", Elsewhere),
    rule(MTLS, "metadata/name", Say("default")),
    rule(MTLS, "metadata/namespace", Say("shop")),
    rule(MTLS, "spec/mtls/mode", Say("STRICT")),
    // Who may call what is decided pair by pair.
    rule(AUTHORIZATION, "apiVersion", Say("security.istio.io/v1")),
    rule(AUTHORIZATION, "kind", Elsewhere),
    rule(AUTHORIZATION, "metadata/name", Elsewhere),
    rule(AUTHORIZATION, "metadata/namespace", Elsewhere),
    rule(AUTHORIZATION, "spec?", Be("{}")),
    rule(AUTHORIZATION, "spec/action?", Say("ALLOW")),
    rule(AUTHORIZATION, "spec/rules/*/from/*/source/principals/*?", Elsewhere),
    rule(AUTHORIZATION, "spec/rules/*/to/*/operation/methods/*?", Elsewhere),
    rule(AUTHORIZATION, "spec/rules/*/to/*/operation/paths/*?", Elsewhere),
    rule(AUTHORIZATION, "spec/rules/*/to/*/operation/ports/*?", Elsewhere),
    rule(AUTHORIZATION, "spec/selector/matchLabels/app?", Fit(is_service)),
    rule(TOKENS, "apiVersion", Say("security.istio.io/v1")),
    rule(TOKENS, "kind", Elsewhere),
    rule(TOKENS, "metadata/name", Elsewhere),
    rule(TOKENS, "metadata/namespace", Elsewhere),
    rule(TOKENS, "spec/jwtRules/*/audiences/*", Say("shop")),
    rule(TOKENS, "spec/jwtRules/*/forwardOriginalToken", Be("true")),
    rule(TOKENS, "spec/jwtRules/*/issuer", Say("https://shop.example.com")),
    rule(TOKENS, "spec/jwtRules/*/jwksUri", Say("https://shop.example.com/.well-known/jwks.json")),
    rule(TOKENS, "spec/selector/matchLabels/app", Fit(is_service)),
    rule(TELEMETRY, "apiVersion", Say("telemetry.istio.io/v1")),
    rule(TELEMETRY, "kind", Elsewhere),
    rule(TELEMETRY, "metadata/name", Say("default")),
    rule(TELEMETRY, "metadata/namespace", Say("shop")),
    rule(
        TELEMETRY,
        "spec/accessLogging/*/filter/expression",
        Say("response.code >= 500 || response.grpc_status in [2, 4, 12, 13, 14, 15]"),
    ),
    rule(TELEMETRY, "spec/accessLogging/*/providers/*/name", Say("envoy")),
    rule(TELEMETRY, "spec/metrics/*/providers/*/name", Say("prometheus")),
    rule(TELEMETRY, "spec/tracing/*/disableSpanReporting", Be("true")),
    rule(DESTINATION, "apiVersion", Say("networking.istio.io/v1")),
    rule(DESTINATION, "kind", Elsewhere),
    rule(DESTINATION, "metadata/name", Elsewhere),
    rule(DESTINATION, "metadata/namespace", Elsewhere),
    rule(DESTINATION, "spec/host", Fit(is_own_host)),
    rule(DESTINATION, "spec/subsets/*/labels/version", Elsewhere),
    rule(DESTINATION, "spec/subsets/*/name", Elsewhere),
    rule(DESTINATION, "spec/trafficPolicy/connectionPool/http/h2UpgradePolicy", Say("UPGRADE")),
    rule(
        DESTINATION,
        "spec/trafficPolicy/connectionPool/http/http1MaxPendingRequests",
        Fit(is_pool),
    ),
    rule(DESTINATION, "spec/trafficPolicy/connectionPool/http/http2MaxRequests", Fit(is_pool)),
    rule(DESTINATION, "spec/trafficPolicy/connectionPool/http/maxConcurrentStreams", Be("100")),
    rule(DESTINATION, "spec/trafficPolicy/connectionPool/tcp/connectTimeout", Say("1s")),
    rule(
        DESTINATION,
        "spec/trafficPolicy/connectionPool/tcp/maxConnections",
        Fit(|seen| seen.value == if seen.is_public() { 1024 } else { 256 }),
    ),
    rule(DESTINATION, "spec/trafficPolicy/connectionPool/tcp/tcpKeepalive/interval", Say("10s")),
    rule(DESTINATION, "spec/trafficPolicy/connectionPool/tcp/tcpKeepalive/probes", Be("3")),
    rule(DESTINATION, "spec/trafficPolicy/connectionPool/tcp/tcpKeepalive/time", Say("20s")),
    rule(DESTINATION, "spec/trafficPolicy/loadBalancer/localityLbSetting/enabled", Be("true")),
    rule(DESTINATION, "spec/trafficPolicy/loadBalancer/simple", Say("LEAST_REQUEST")),
    rule(DESTINATION, "spec/trafficPolicy/outlierDetection/baseEjectionTime", Say("5s")),
    rule(DESTINATION, "spec/trafficPolicy/outlierDetection/consecutive5xxErrors", Be("0")),
    rule(DESTINATION, "spec/trafficPolicy/outlierDetection/consecutiveGatewayErrors", Be("5")),
    rule(DESTINATION, "spec/trafficPolicy/outlierDetection/interval", Say("1s")),
    rule(DESTINATION, "spec/trafficPolicy/outlierDetection/maxEjectionPercent", Be("50")),
    rule(DESTINATION, "spec/trafficPolicy/tls/mode", Say("ISTIO_MUTUAL")),
    rule(ROUTES, "apiVersion", Say("networking.istio.io/v1")),
    rule(ROUTES, "kind", Elsewhere),
    rule(ROUTES, "metadata/name", Elsewhere),
    rule(ROUTES, "metadata/namespace", Elsewhere),
    rule(ROUTES, "spec/gateways/*?", Elsewhere),
    rule(ROUTES, "spec/hosts/*", Elsewhere),
    rule(ROUTES, "spec/http/*/name", Say("all")),
    rule(ROUTES, "spec/http/*/retries/attempts", Be("0")),
    rule(ROUTES, "spec/http/*/route/*/destination/host", Fit(is_own_host)),
    rule(ROUTES, "spec/http/*/route/*/destination/subset", Elsewhere),
    rule(ROUTES, "spec/http/*/route/*/weight", Be("100")),
    rule(ROUTES, "spec/http/*/timeout", Fit(is_beyond_every_deadline)),
    rule(SIDECAR, "apiVersion", Say("networking.istio.io/v1")),
    rule(SIDECAR, "kind", Elsewhere),
    rule(SIDECAR, "metadata/name", Elsewhere),
    rule(SIDECAR, "metadata/namespace", Elsewhere),
    rule(SIDECAR, "spec/egress/*/hosts/*", Elsewhere),
    rule(SIDECAR, "spec/outboundTrafficPolicy/mode", Say("REGISTRY_ONLY")),
    rule(SIDECAR, "spec/workloadSelector/labels/app", Fit(is_service)),
    rule(GATEWAY, "apiVersion", Say("networking.istio.io/v1")),
    rule(GATEWAY, "kind", Elsewhere),
    rule(GATEWAY, "metadata/name", Elsewhere),
    rule(GATEWAY, "metadata/namespace", Elsewhere),
    rule(GATEWAY, "spec/selector/istio", Fit(|seen| seen.text() == seen.world.ingress.label)),
    rule(GATEWAY, "spec/servers", Count(2)),
    rule(GATEWAY, "spec/servers/*/hosts/*", Fit(is_public_host)),
    rule(GATEWAY, "spec/servers/*/port/name", Elsewhere),
    rule(GATEWAY, "spec/servers/*/port/number", Elsewhere),
    rule(GATEWAY, "spec/servers/*/port/protocol", Elsewhere),
    rule(GATEWAY, "spec/servers/*/tls/credentialName", Elsewhere),
    rule(GATEWAY, "spec/servers/*/tls/httpsRedirect", Be("true")),
    rule(GATEWAY, "spec/servers/*/tls/minProtocolVersion", Say("TLSV1_2")),
    rule(GATEWAY, "spec/servers/*/tls/mode", Say("SIMPLE")),
    rule(CERTIFICATE, "apiVersion", Say("cert-manager.io/v1")),
    rule(CERTIFICATE, "kind", Elsewhere),
    rule(CERTIFICATE, "metadata/name", Elsewhere),
    rule(CERTIFICATE, "metadata/namespace", Elsewhere),
    rule(CERTIFICATE, "spec/dnsNames/*", Fit(is_public_host)),
    rule(CERTIFICATE, "spec/issuerRef/group", Say("cert-manager.io")),
    rule(CERTIFICATE, "spec/issuerRef/kind", Say("ClusterIssuer")),
    rule(CERTIFICATE, "spec/issuerRef/name", Say("letsencrypt")),
    rule(CERTIFICATE, "spec/privateKey/algorithm", Say("ECDSA")),
    rule(CERTIFICATE, "spec/privateKey/rotationPolicy", Say("Always")),
    rule(CERTIFICATE, "spec/privateKey/size", Be("256")),
    rule(CERTIFICATE, "spec/secretName", Elsewhere),
];

fn is_own_host(seen: &Seen<'_>) -> bool {
    seen.text() == format!("{}.shop.svc.cluster.local", seen.service.service)
}

fn is_public_host(seen: &Seen<'_>) -> bool {
    seen.world.ingress.hosts.iter().any(|host| seen.text() == host)
}

/// As many calls as the callers' own stacks let out: what is refused is refused there. Customers have no
/// such stack, and each who follows an order is a call; together they are not to fill the one pool that an
/// ingress has for all of them.
fn is_pool(seen: &Seen<'_>) -> bool {
    let calls = mesh_policy::values::Target::default().bulkhead.calls;
    let calls = if seen.is_public() { 65_536 } else { calls as u64 };
    seen.value.as_u64() == Some(calls)
}

/// The sidecar never ends a call that the application would not have ended before, and ends it soon
/// after.
fn is_beyond_every_deadline(seen: &Seen<'_>) -> bool {
    let mut longest = Duration::ZERO;
    for method in CONTRACTS.methods() {
        let package = method.service().rsplit_once('.').map(|(package, _)| package);
        // What is public passes everybody's calls on.
        if seen.is_public() && package.is_some_and(|it| it.starts_with("shop."))
            || seen.service.serves(method.service())
        {
            longest = longest.max(method.max_deadline);
        }
    }
    let written = seen.text().strip_suffix('s').and_then(|text| text.parse().ok());
    written.map(Duration::from_secs).is_some_and(|it| it == longest + Duration::from_secs(5))
}
