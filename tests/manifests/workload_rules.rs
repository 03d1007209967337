//! What must hold of what Kubernetes runs.

use mesh_runtime::ServiceConfig;
use serde_json::json;

use super::rules::Must::{Be, Count, Elsewhere, Fit, Say};
use super::rules::{Rule, Seen, is_service, rule};
use super::world::DEPLOYMENT;

const ACCOUNT: &str = "ServiceAccount";
const BACKUP: &str = "ScheduledBackup";
const BUDGET: &str = "PodDisruptionBudget";
const DATABASE: &str = "Cluster";
const INGRESS: &str = "Ingress";
const MONITOR: &str = "ServiceMonitor";
const NAMESPACE: &str = "Namespace";
const NETWORK: &str = "NetworkPolicy";
const SCALER: &str = "HorizontalPodAutoscaler";
const SERVICE: &str = "Service";

pub const RULES: &[Rule] = &[
    rule(NAMESPACE, "apiVersion", Say("v1")),
    rule(NAMESPACE, "kind", Elsewhere),
    rule(NAMESPACE, "metadata/name", Say("shop")),
    rule(NAMESPACE, "metadata/labels/istio-injection", Say("enabled")),
    rule(NAMESPACE, "metadata/labels/pod-security.kubernetes.io/audit", Say("restricted")),
    rule(NAMESPACE, "metadata/labels/pod-security.kubernetes.io/enforce", Say("restricted")),
    rule(NAMESPACE, "metadata/labels/pod-security.kubernetes.io/warn", Say("restricted")),
    rule(MONITOR, "apiVersion", Say("monitoring.coreos.com/v1")),
    rule(MONITOR, "kind", Elsewhere),
    rule(MONITOR, "metadata/name", Say("services")),
    rule(MONITOR, "metadata/namespace", Say("shop")),
    rule(MONITOR, "spec/endpoints/*/honorLabels", Be("true")),
    rule(MONITOR, "spec/endpoints/*/interval", Say("15s")),
    rule(MONITOR, "spec/endpoints/*/path", Say("/metrics")),
    rule(MONITOR, "spec/endpoints/*/port", Say("admin")),
    rule(MONITOR, "spec/jobLabel", Say("app")),
    rule(MONITOR, "spec/selector/matchLabels/shopmesh.dev/monitored", Say("true")),
    // Who reaches whom is decided pair by pair.
    rule(NETWORK, "apiVersion", Say("networking.k8s.io/v1")),
    rule(NETWORK, "kind", Elsewhere),
    rule(NETWORK, "metadata/name", Elsewhere),
    rule(NETWORK, "metadata/namespace", Elsewhere),
    rule(NETWORK, "spec/podSelector?", Be("{}")),
    rule(NETWORK, "spec/podSelector/matchLabels/app?", Elsewhere),
    rule(NETWORK, "spec/podSelector/matchLabels/cnpg.io/cluster?", Elsewhere),
    rule(NETWORK, "spec/policyTypes/*", Elsewhere),
    rule(NETWORK, "spec/egress/*/ports/*/port?", Elsewhere),
    rule(NETWORK, "spec/egress/*/ports/*/protocol?", Elsewhere),
    rule(NETWORK, PEERS[0], Elsewhere),
    rule(NETWORK, PEERS[1], Elsewhere),
    rule(NETWORK, PEERS[2], Elsewhere),
    rule(NETWORK, PEERS[3], Elsewhere),
    rule(NETWORK, "spec/ingress/*/ports/*/port?", Elsewhere),
    rule(NETWORK, "spec/ingress/*/ports/*/protocol?", Elsewhere),
    rule(NETWORK, PEERS[4], Elsewhere),
    rule(NETWORK, PEERS[5], Elsewhere),
    rule(NETWORK, PEERS[6], Elsewhere),
    rule(NETWORK, PEERS[7], Elsewhere),
    rule(ACCOUNT, "apiVersion", Say("v1")),
    rule(ACCOUNT, "kind", Elsewhere),
    rule(ACCOUNT, "metadata/name", Elsewhere),
    rule(ACCOUNT, "metadata/namespace", Elsewhere),
    rule(ACCOUNT, "automountServiceAccountToken", Be("false")),
    rule(DEPLOYMENT, "apiVersion", Say("apps/v1")),
    rule(DEPLOYMENT, "kind", Elsewhere),
    rule(DEPLOYMENT, "metadata/name", Elsewhere),
    rule(DEPLOYMENT, "metadata/namespace", Elsewhere),
    rule(DEPLOYMENT, "metadata/labels/app", Fit(is_service)),
    rule(DEPLOYMENT, "metadata/labels/version", Fit(is_own_version)),
    rule(DEPLOYMENT, "spec/minReadySeconds", Be("5")),
    rule(DEPLOYMENT, "spec/progressDeadlineSeconds", Be("300")),
    rule(DEPLOYMENT, "spec/revisionHistoryLimit", Be("5")),
    rule(DEPLOYMENT, "spec/selector/matchLabels/app", Fit(is_service)),
    rule(DEPLOYMENT, "spec/selector/matchLabels/version", Fit(is_own_version)),
    rule(DEPLOYMENT, "spec/strategy/rollingUpdate/maxSurge", Be("1")),
    rule(DEPLOYMENT, "spec/strategy/rollingUpdate/maxUnavailable", Be("0")),
    rule(DEPLOYMENT, "spec/strategy/type", Say("RollingUpdate")),
    rule(
        DEPLOYMENT,
        "spec/template/metadata/annotations/proxy.istio.io/config",
        Fit(|seen| {
            let said: Option<serde_json::Value> = serde_json::from_str(seen.text()).ok();
            said.is_some_and(|it| {
                it == json!({
                    "holdApplicationUntilProxyStarts": true,
                    "proxyMetadata": { "EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true" },
                })
            })
        }),
    ),
    rule(
        DEPLOYMENT,
        "spec/template/metadata/annotations/traffic.sidecar.istio.io/excludeInboundPorts",
        Say("9090"),
    ),
    rule(
        DEPLOYMENT,
        "spec/template/metadata/annotations/traffic.sidecar.istio.io/excludeOutboundPorts",
        Say("4222,4317,5432"),
    ),
    rule(DEPLOYMENT, "spec/template/metadata/labels/app", Fit(is_service)),
    rule(DEPLOYMENT, "spec/template/metadata/labels/version", Fit(is_own_version)),
    rule(DEPLOYMENT, "spec/template/spec/serviceAccountName", Fit(is_service)),
    rule(DEPLOYMENT, "spec/template/spec/terminationGracePeriodSeconds", Fit(is_long_enough)),
    rule(DEPLOYMENT, "spec/template/spec/topologySpreadConstraints", Count(2)),
    rule(
        DEPLOYMENT,
        "spec/template/spec/topologySpreadConstraints/*/labelSelector/matchLabels/app",
        Fit(is_service),
    ),
    rule(
        DEPLOYMENT,
        "spec/template/spec/topologySpreadConstraints/*/labelSelector/matchLabels/version",
        Fit(is_own_version),
    ),
    rule(DEPLOYMENT, "spec/template/spec/topologySpreadConstraints/*/maxSkew", Be("1")),
    rule(DEPLOYMENT, "spec/template/spec/topologySpreadConstraints/*/topologyKey", Elsewhere),
    rule(
        DEPLOYMENT,
        "spec/template/spec/topologySpreadConstraints/*/whenUnsatisfiable",
        Say("ScheduleAnyway"),
    ),
    rule(DEPLOYMENT, "spec/template/spec/volumes/*/configMap/name", Say("policy")),
    rule(DEPLOYMENT, "spec/template/spec/volumes/*/name", Elsewhere),
    rule(DEPLOYMENT, "spec/template/spec/volumes/*/secret/defaultMode?", Elsewhere),
    rule(DEPLOYMENT, "spec/template/spec/volumes/*/secret/secretName?", Elsewhere),
    rule(DEPLOYMENT, "spec/template/spec/containers", Count(1)),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/env/*/name", Elsewhere),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/env/*/value", Fit(is_own_version)),
    rule(
        DEPLOYMENT,
        "spec/template/spec/containers/*/env/*/valueFrom/secretKeyRef/key?",
        Elsewhere,
    ),
    rule(
        DEPLOYMENT,
        "spec/template/spec/containers/*/env/*/valueFrom/secretKeyRef/name?",
        Elsewhere,
    ),
    rule(
        DEPLOYMENT,
        "spec/template/spec/containers/*/envFrom/*/configMapRef/name",
        Fit(is_service),
    ),
    rule(
        DEPLOYMENT,
        "spec/template/spec/containers/*/image",
        Fit(|seen| {
            seen.service.versions.iter().any(|version| {
                seen.text() == format!("shopmesh/{}:{version}", seen.service.service)
                    && seen.object["metadata"]["labels"]["version"] == version.as_str()
            })
        }),
    ),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/lifecycle/preStop/sleep/seconds", Be("5")),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/name", Fit(is_service)),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/ports/*/containerPort", Elsewhere),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/ports/*/name", Elsewhere),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/livenessProbe/failureThreshold", Be("3")),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/livenessProbe/periodSeconds", Be("10")),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/livenessProbe/successThreshold", Be("1")),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/livenessProbe/timeoutSeconds", Be("1")),
    rule(DEPLOYMENT, PROBES[0], Elsewhere),
    rule(DEPLOYMENT, PROBES[1], Elsewhere),
    rule(DEPLOYMENT, PROBES[2], Elsewhere),
    rule(DEPLOYMENT, PROBES[3], Elsewhere),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/readinessProbe/failureThreshold", Be("2")),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/readinessProbe/periodSeconds", Be("2")),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/readinessProbe/successThreshold", Be("1")),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/readinessProbe/timeoutSeconds", Be("1")),
    rule(DEPLOYMENT, PROBES[4], Elsewhere),
    rule(DEPLOYMENT, PROBES[5], Elsewhere),
    rule(DEPLOYMENT, PROBES[6], Elsewhere),
    rule(DEPLOYMENT, PROBES[7], Elsewhere),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/startupProbe/failureThreshold", Be("120")),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/startupProbe/periodSeconds", Be("1")),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/startupProbe/successThreshold", Be("1")),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/startupProbe/timeoutSeconds", Be("1")),
    rule(DEPLOYMENT, PROBES[8], Elsewhere),
    rule(DEPLOYMENT, PROBES[9], Elsewhere),
    rule(DEPLOYMENT, PROBES[10], Elsewhere),
    rule(DEPLOYMENT, PROBES[11], Elsewhere),
    rule(
        DEPLOYMENT,
        "spec/template/spec/containers/*/resources/limits/memory",
        Fit(|seen| seen.text() == format!("{}Mi", seen.service.scale.memory_limit_mib)),
    ),
    rule(
        DEPLOYMENT,
        "spec/template/spec/containers/*/resources/requests/cpu",
        Fit(|seen| seen.text() == format!("{}m", seen.service.scale.cpu_milli)),
    ),
    rule(
        DEPLOYMENT,
        "spec/template/spec/containers/*/resources/requests/memory",
        Fit(|seen| seen.text() == format!("{}Mi", seen.service.scale.memory_mib)),
    ),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/volumeMounts/*/mountPath", Elsewhere),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/volumeMounts/*/name", Elsewhere),
    rule(DEPLOYMENT, "spec/template/spec/containers/*/volumeMounts/*/readOnly", Be("true")),
    rule(SERVICE, "apiVersion", Say("v1")),
    rule(SERVICE, "kind", Elsewhere),
    rule(SERVICE, "metadata/name", Elsewhere),
    rule(SERVICE, "metadata/namespace", Elsewhere),
    rule(SERVICE, "metadata/labels/app", Fit(is_service)),
    rule(SERVICE, "metadata/labels/shopmesh.dev/monitored?", Say("true")),
    rule(SERVICE, "spec/clusterIP?", Say("None")),
    rule(SERVICE, "spec/ports/*/appProtocol", Elsewhere),
    rule(SERVICE, "spec/ports/*/name", Elsewhere),
    rule(SERVICE, "spec/ports/*/port", Elsewhere),
    rule(SERVICE, "spec/ports/*/targetPort", Elsewhere),
    rule(SERVICE, "spec/selector/app", Fit(is_service)),
    rule(SERVICE, "spec/type?", Say("ClusterIP")),
    rule(BUDGET, "apiVersion", Say("policy/v1")),
    rule(BUDGET, "kind", Elsewhere),
    rule(BUDGET, "metadata/name", Elsewhere),
    rule(BUDGET, "metadata/namespace", Elsewhere),
    rule(BUDGET, "spec/maxUnavailable", Be("1")),
    rule(BUDGET, "spec/selector/matchLabels/app", Fit(is_service)),
    rule(BUDGET, "spec/unhealthyPodEvictionPolicy", Say("AlwaysAllow")),
    rule(SCALER, "apiVersion", Say("autoscaling/v2")),
    rule(SCALER, "kind", Elsewhere),
    rule(SCALER, "metadata/name", Elsewhere),
    rule(SCALER, "metadata/namespace", Elsewhere),
    rule(SCALER, "spec/behavior/", Elsewhere),
    rule(SCALER, "spec/metrics/", Elsewhere),
    rule(
        SCALER,
        "spec/maxReplicas",
        Fit(|seen| seen.value.as_u64() == Some(seen.service.scale.max_replicas.into())),
    ),
    rule(
        SCALER,
        "spec/minReplicas",
        Fit(|seen| seen.value.as_u64() == Some(seen.service.scale.min_replicas.into())),
    ),
    rule(SCALER, "spec/scaleTargetRef/apiVersion", Say("apps/v1")),
    rule(SCALER, "spec/scaleTargetRef/kind", Say("Deployment")),
    rule(SCALER, "spec/scaleTargetRef/name", Elsewhere),
    rule(DATABASE, "apiVersion", Say("postgresql.cnpg.io/v1")),
    rule(DATABASE, "kind", Elsewhere),
    rule(DATABASE, "metadata/name", Elsewhere),
    rule(DATABASE, "metadata/namespace", Elsewhere),
    rule(DATABASE, "spec/affinity/podAntiAffinityType", Say("preferred")),
    rule(DATABASE, "spec/affinity/topologyKey", Say("kubernetes.io/hostname")),
    rule(DATABASE, "spec/bootstrap/initdb/database", Fit(is_service)),
    rule(DATABASE, "spec/bootstrap/initdb/owner", Fit(is_service)),
    rule(DATABASE, "spec/enablePDB", Be("true")),
    rule(DATABASE, "spec/imageName", Say("ghcr.io/cloudnative-pg/postgresql:17.6")),
    rule(DATABASE, "spec/inheritedMetadata/annotations/sidecar.istio.io/inject", Say("false")),
    rule(DATABASE, "spec/instances", Be("3")),
    rule(DATABASE, "spec/monitoring/enablePodMonitor", Be("true")),
    rule(DATABASE, "spec/postgresql/parameters/idle_in_transaction_session_timeout", Say("5s")),
    rule(DATABASE, "spec/postgresql/parameters/max_connections", Fit(has_room_for_every_process)),
    rule(DATABASE, "spec/postgresql/parameters/max_slot_wal_keep_size", Say("3GB")),
    rule(DATABASE, "spec/postgresql/parameters/shared_buffers", Say("256MB")),
    rule(DATABASE, "spec/postgresql/synchronous/dataDurability", Say("required")),
    rule(DATABASE, "spec/postgresql/synchronous/method", Say("any")),
    rule(DATABASE, "spec/postgresql/synchronous/number", Be("1")),
    rule(DATABASE, "spec/primaryUpdateStrategy", Say("unsupervised")),
    rule(DATABASE, "spec/resources/limits/memory", Say("1Gi")),
    rule(DATABASE, "spec/resources/requests/cpu", Say("250m")),
    rule(DATABASE, "spec/resources/requests/memory", Say("1Gi")),
    rule(DATABASE, "spec/storage/size", Say("20Gi")),
    rule(DATABASE, "spec/walStorage/size", Say("5Gi")),
    rule(BACKUP, "apiVersion", Say("postgresql.cnpg.io/v1")),
    rule(BACKUP, "kind", Elsewhere),
    rule(BACKUP, "metadata/name", Elsewhere),
    rule(BACKUP, "metadata/namespace", Elsewhere),
    rule(BACKUP, "spec/backupOwnerReference", Say("self")),
    rule(BACKUP, "spec/cluster/name", Fit(|seen| seen.value == &seen.object["metadata"]["name"])),
    rule(BACKUP, "spec/immediate", Be("true")),
    rule(BACKUP, "spec/method", Say("barmanObjectStore")),
    rule(BACKUP, "spec/schedule", Say("0 0 3 * * *")),
    rule(INGRESS, "apiVersion", Say("networking.k8s.io/v1")),
    rule(INGRESS, "kind", Elsewhere),
    rule(INGRESS, "metadata/name", Elsewhere),
    rule(INGRESS, "metadata/namespace", Elsewhere),
    rule(INGRESS, "metadata/annotations/cert-manager.io/cluster-issuer", Say("letsencrypt")),
    rule(INGRESS, "metadata/annotations/nginx.ingress.kubernetes.io/backend-protocol", Say("GRPC")),
    rule(INGRESS, "metadata/annotations/nginx.ingress.kubernetes.io/limit-connections", Say("50")),
    rule(INGRESS, "metadata/annotations/nginx.ingress.kubernetes.io/limit-rps", Say("50")),
    rule(INGRESS, "metadata/annotations/nginx.ingress.kubernetes.io/proxy-body-size", Say("1m")),
    rule(
        INGRESS,
        "metadata/annotations/nginx.ingress.kubernetes.io/proxy-next-upstream",
        Say("off"),
    ),
    rule(INGRESS, PATIENCE[0], Fit(is_as_patient_as_routes)),
    rule(INGRESS, PATIENCE[1], Fit(is_as_patient_as_routes)),
    rule(INGRESS, "metadata/annotations/nginx.ingress.kubernetes.io/service-upstream", Say("true")),
    rule(INGRESS, "spec/ingressClassName", Say("nginx")),
    rule(INGRESS, "spec/rules/*/host", Fit(is_public_host)),
    rule(INGRESS, "spec/rules/*/http/paths/*/backend/service/name", Fit(is_service)),
    rule(INGRESS, "spec/rules/*/http/paths/*/backend/service/port/name", Say("grpc")),
    rule(INGRESS, "spec/rules/*/http/paths/*/path", Say("/")),
    rule(INGRESS, "spec/rules/*/http/paths/*/pathType", Say("Prefix")),
    rule(INGRESS, "spec/tls/*/hosts/*", Fit(is_public_host)),
    rule(INGRESS, "spec/tls/*/secretName", Say("gateway-certificate")),
];

const PEERS: [&str; 8] = [
    "spec/egress/*/to/*/namespaceSelector/matchLabels/kubernetes.io/metadata.name?",
    "spec/egress/*/to/*/podSelector/matchLabels/app?",
    "spec/egress/*/to/*/podSelector/matchLabels/cnpg.io/cluster?",
    "spec/egress/*/to/*/podSelector/matchLabels/k8s-app?",
    "spec/ingress/*/from/*/namespaceSelector/matchLabels/kubernetes.io/metadata.name?",
    "spec/ingress/*/from/*/podSelector/matchLabels/app?",
    "spec/ingress/*/from/*/podSelector/matchLabels/cnpg.io/cluster?",
    "spec/ingress/*/from/*/podSelector/matchLabels/istio?",
];

const PATIENCE: [&str; 2] = [
    "metadata/annotations/nginx.ingress.kubernetes.io/proxy-read-timeout",
    "metadata/annotations/nginx.ingress.kubernetes.io/proxy-send-timeout",
];

const PROBES: [&str; 12] = [
    "spec/template/spec/containers/*/livenessProbe/grpc/port?",
    "spec/template/spec/containers/*/livenessProbe/grpc/service?",
    "spec/template/spec/containers/*/livenessProbe/httpGet/path?",
    "spec/template/spec/containers/*/livenessProbe/httpGet/port?",
    "spec/template/spec/containers/*/readinessProbe/grpc/port?",
    "spec/template/spec/containers/*/readinessProbe/grpc/service?",
    "spec/template/spec/containers/*/readinessProbe/httpGet/path?",
    "spec/template/spec/containers/*/readinessProbe/httpGet/port?",
    "spec/template/spec/containers/*/startupProbe/grpc/port?",
    "spec/template/spec/containers/*/startupProbe/grpc/service?",
    "spec/template/spec/containers/*/startupProbe/httpGet/path?",
    "spec/template/spec/containers/*/startupProbe/httpGet/port?",
];

/// A version of the service, and that of the object's name.
fn is_own_version(seen: &Seen<'_>) -> bool {
    let name = seen.object["metadata"]["name"].as_str().unwrap_or_default();
    let known = seen.service.versions.iter().any(|version| version == seen.text());
    known && name == format!("{}-{}", seen.service.service, seen.text())
}

fn is_public_host(seen: &Seen<'_>) -> bool {
    seen.world.ingress.hosts.iter().any(|host| seen.text() == host)
}

/// As long as Istio's route to the same service waits.
fn is_as_patient_as_routes(seen: &Seen<'_>) -> bool {
    let route = seen.world.find("VirtualService", &seen.service.service);
    route.is_some_and(|it| it["spec"]["http"][0]["timeout"] == format!("{}s", seen.text()))
}

/// The pause before the end, the drain, and ten and two seconds for what comes after it; a little more,
/// and not much.
fn is_long_enough(seen: &Seen<'_>) -> bool {
    let settings = seen.world.settings.get(&seen.service.service);
    let drain = settings.and_then(|it| it.get("DRAIN")?.strip_suffix('s')?.parse::<u64>().ok());
    let least = drain.map(|drain| 5 + drain + 10 + 2);
    let grace = seen.value.as_u64();
    grace.zip(least).is_some_and(|(grace, least)| (least + 3..least + 4).contains(&grace))
}

/// Of every process of a service there may be one more while it is replaced.
fn has_room_for_every_process(seen: &Seen<'_>) -> bool {
    let processes = seen.service.scale.max_replicas * seen.service.versions.len() as u32 + 1;
    // A pool, the lock of the replica and its reader; then operators and the operator.
    let needed = processes * (ServiceConfig::default().database_pool + 2) + 20;
    seen.text().parse() == Ok(needed)
}
