//! Who notices that a rule is gone or another: calls, or the rules that manifests are read by.

use std::fmt;

use super::seen::Seen::{
    self, Broken, Crowded, Ejected, Full, Given, Known, Let, Long, Narrow, Plain, Reached,
    Repeated, Routed, Spared, Timed, Told,
};
use crate::manifests::world::{
    AUTHORIZATION, CERTIFICATE, DESTINATION, GATEWAY, MTLS, ROUTES, SIDECAR, TELEMETRY, TOKENS,
};

/// A place of a kind of objects, a change of it, and who notices.
pub struct Rule {
    pub kind: &'static str,
    /// Below `spec`; the object itself if it is empty.
    pub place: &'static str,
    pub how: How,
    pub shows: Shows,
}

#[derive(Clone, Copy, Debug)]
pub enum How {
    Gone,
    /// Another text.
    Other,
    /// This, as JSON.
    To(&'static str),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("is gone"),
            Self::Other => f.write_str("is another"),
            Self::To(text) => write!(f, "is {text}"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Shows {
    /// Calls, by what is seen of them.
    Calls(Seen),
    /// No call that is made here: a test of the manifests.
    Elsewhere(&'static str),
}

/// The rule of the place itself, with the value that it must have.
const ITS_VALUE: &str = "tests/manifests/istio_rules.rs::RULES";
/// Every pair of a caller and an RPC, ports and HTTP's methods included.
const PAIRS: &str = "tests/manifests/authorization.rs::faults";
/// What means one another.
const TOGETHER: &str = "tests/manifests/relations.rs::is_routed";
/// Of the ingress gateway, which is not here.
const ENTRANCE: &str = "tests/manifests/relations.rs::is_entered";

const fn shown(kind: &'static str, place: &'static str, how: How, by: Seen) -> Rule {
    Rule { kind, place, how, shows: Shows::Calls(by) }
}

const fn left(kind: &'static str, place: &'static str, to: &'static str) -> Rule {
    Rule { kind, place, how: How::Gone, shows: Shows::Elsewhere(to) }
}

/// Of how a service is called: whoever calls is given something else.
const fn given(place: &'static str, how: How) -> Rule {
    shown(DESTINATION, place, how, Given)
}

pub const RULES: &[Rule] = &[
    shown(MTLS, "", How::Gone, Plain),
    shown(MTLS, "mtls", How::Gone, Plain),
    shown(MTLS, "mtls/mode", How::To("\"PERMISSIVE\""), Plain),
    shown(MTLS, "mtls/mode", How::To("\"DISABLE\""), Plain),
    shown(AUTHORIZATION, "", How::Gone, Let),
    shown(AUTHORIZATION, "action", How::To("\"DENY\""), Let),
    shown(AUTHORIZATION, "selector", How::Gone, Let),
    shown(AUTHORIZATION, "selector/matchLabels/app", How::Other, Let),
    shown(AUTHORIZATION, "rules", How::Gone, Let),
    shown(AUTHORIZATION, "rules/*", How::Gone, Let),
    shown(AUTHORIZATION, "rules/*/from", How::Gone, Let),
    shown(AUTHORIZATION, "rules/*/from/*/source/principals/*", How::Other, Let),
    shown(AUTHORIZATION, "rules/*/to/*/operation/methods/*", How::To("\"PUT\""), Let),
    shown(AUTHORIZATION, "rules/*/to/*/operation/paths", How::Gone, Let),
    shown(AUTHORIZATION, "rules/*/to/*/operation/paths/*", How::Other, Let),
    shown(AUTHORIZATION, "rules/*/to/*/operation/ports/*", How::To("\"50052\""), Let),
    shown(AUTHORIZATION, "rules/*/to/*/operation/methods", How::Gone, Let),
    // A sidecar takes calls in at one port.
    left(AUTHORIZATION, "rules/*/to/*/operation/ports", PAIRS),
    shown(TOKENS, "", How::Gone, Known),
    shown(TOKENS, "jwtRules", How::Gone, Known),
    shown(TOKENS, "jwtRules/*/audiences/*", How::Other, Known),
    shown(TOKENS, "jwtRules/*/issuer", How::Other, Known),
    shown(TOKENS, "jwtRules/*/forwardOriginalToken", How::To("false"), Known),
    shown(TOKENS, "jwtRules/*/jwksUri", How::To("\"https://shop.example.com/v1/none\""), Known),
    shown(TOKENS, "selector/matchLabels/app", How::Other, Known),
    // Whoever has no place for a subset, or no subset, answers nobody.
    shown(DESTINATION, "", How::Gone, Routed),
    shown(DESTINATION, "host", How::Other, Routed),
    shown(DESTINATION, "subsets", How::Gone, Routed),
    shown(DESTINATION, "subsets/*/labels/version", How::Other, Routed),
    shown(DESTINATION, "subsets/*/name", How::Other, Routed),
    shown(DESTINATION, "trafficPolicy/tls/mode", How::To("\"DISABLE\""), Routed),
    shown(DESTINATION, "trafficPolicy/connectionPool/http/http2MaxRequests", How::To("4"), Full),
    left(DESTINATION, "trafficPolicy/connectionPool/http/h2UpgradePolicy", ITS_VALUE),
    shown(
        DESTINATION,
        "trafficPolicy/connectionPool/http/http1MaxPendingRequests",
        How::To("1"),
        Crowded,
    ),
    shown(DESTINATION, "trafficPolicy/connectionPool/tcp/maxConnections", How::To("1"), Narrow),
    given("trafficPolicy/connectionPool/http/maxConcurrentStreams", How::Gone),
    given("trafficPolicy/connectionPool/tcp/connectTimeout", How::Gone),
    given("trafficPolicy/connectionPool/tcp/tcpKeepalive", How::Gone),
    given("trafficPolicy/connectionPool/tcp/tcpKeepalive/interval", How::Gone),
    given("trafficPolicy/connectionPool/tcp/tcpKeepalive/probes", How::Gone),
    given("trafficPolicy/connectionPool/tcp/tcpKeepalive/time", How::Gone),
    left(DESTINATION, "trafficPolicy/loadBalancer/localityLbSetting/enabled", ITS_VALUE),
    shown(DESTINATION, "trafficPolicy/loadBalancer/simple", How::To("\"PASSTHROUGH\""), Routed),
    given("trafficPolicy/loadBalancer/simple", How::To("\"ROUND_ROBIN\"")),
    given("trafficPolicy/loadBalancer/simple", How::To("\"RANDOM\"")),
    shown(DESTINATION, "trafficPolicy/outlierDetection", How::Gone, Ejected),
    shown(
        DESTINATION,
        "trafficPolicy/outlierDetection/consecutiveGatewayErrors",
        How::To("50"),
        Ejected,
    ),
    shown(DESTINATION, "trafficPolicy/outlierDetection/baseEjectionTime", How::To("\"60s\""), Long),
    shown(DESTINATION, "trafficPolicy/outlierDetection/consecutive5xxErrors", How::Gone, Broken),
    shown(DESTINATION, "trafficPolicy/outlierDetection/consecutive5xxErrors", How::To("5"), Broken),
    given("trafficPolicy/outlierDetection/interval", How::Gone),
    shown(DESTINATION, "trafficPolicy/outlierDetection/maxEjectionPercent", How::To("100"), Spared),
    shown(ROUTES, "", How::Gone, Repeated),
    shown(ROUTES, "hosts", How::To("[\"nobody.shop.svc.cluster.local\"]"), Repeated),
    // One of a public service's is the world's, at the ingress gateway.
    left(ROUTES, "hosts/*", TOGETHER),
    left(ROUTES, "gateways/*", TOGETHER),
    shown(ROUTES, "http/*/name", How::Other, Given),
    shown(ROUTES, "http/*/retries", How::Gone, Repeated),
    shown(ROUTES, "http/*/retries/attempts", How::To("2"), Repeated),
    shown(ROUTES, "http/*/route/*/destination/host", How::Other, Routed),
    shown(ROUTES, "http/*/route/*/destination/subset", How::Other, Routed),
    // Of one place to go to, any share is all.
    left(ROUTES, "http/*/route/*/weight", ITS_VALUE),
    shown(ROUTES, "http/*/timeout", How::To("\"1s\""), Timed),
    shown(SIDECAR, "", How::Gone, Reached),
    shown(SIDECAR, "egress/*/hosts/*", How::Gone, Reached),
    shown(SIDECAR, "workloadSelector/labels/app", How::Other, Reached),
    left(SIDECAR, "outboundTrafficPolicy/mode", ITS_VALUE),
    shown(TELEMETRY, "", How::Gone, Told),
    shown(TELEMETRY, "accessLogging/*/filter/expression", How::To("\"true\""), Told),
    left(TELEMETRY, "accessLogging/*/providers/*/name", ITS_VALUE),
    left(TELEMETRY, "metrics/*/providers/*/name", ITS_VALUE),
    left(TELEMETRY, "tracing/*/disableSpanReporting", ITS_VALUE),
    left(GATEWAY, "selector/istio", ENTRANCE),
    left(GATEWAY, "servers/*/hosts/*", ENTRANCE),
    left(GATEWAY, "servers/*/port/name", ENTRANCE),
    left(GATEWAY, "servers/*/port/number", ENTRANCE),
    left(GATEWAY, "servers/*/port/protocol", ENTRANCE),
    left(GATEWAY, "servers/*/tls/credentialName", ENTRANCE),
    left(GATEWAY, "servers/*/tls/minProtocolVersion", ENTRANCE),
    left(GATEWAY, "servers/*/tls/mode", ENTRANCE),
    left(GATEWAY, "servers/*/tls/httpsRedirect", ENTRANCE),
    left(CERTIFICATE, "dnsNames/*", ENTRANCE),
    left(CERTIFICATE, "issuerRef/group", ITS_VALUE),
    left(CERTIFICATE, "issuerRef/kind", ITS_VALUE),
    left(CERTIFICATE, "issuerRef/name", ITS_VALUE),
    left(CERTIFICATE, "privateKey/algorithm", ITS_VALUE),
    left(CERTIFICATE, "privateKey/rotationPolicy", ITS_VALUE),
    left(CERTIFICATE, "privateKey/size", ITS_VALUE),
    left(CERTIFICATE, "secretName", ENTRANCE),
];
