//! What must hold of every pod of the shop's programs, whether it runs on or once.

use super::rules::Must::{Be, Say};
use super::rules::{Rule, rule};
use super::world::{DEPLOYMENT, JOB};

pub const RULES: [[Rule; 10]; 2] = [of(DEPLOYMENT), of(JOB)];

const fn of(kind: &'static str) -> [Rule; 10] {
    [
        rule(kind, "spec/template/spec/automountServiceAccountToken", Be("false")),
        rule(kind, "spec/template/spec/enableServiceLinks", Be("false")),
        rule(kind, "spec/template/spec/securityContext/fsGroup", Be("65532")),
        rule(kind, "spec/template/spec/securityContext/runAsGroup", Be("65532")),
        rule(kind, "spec/template/spec/securityContext/runAsNonRoot", Be("true")),
        rule(kind, "spec/template/spec/securityContext/runAsUser", Be("65532")),
        rule(kind, "spec/template/spec/securityContext/seccompProfile/type", Say("RuntimeDefault")),
        rule(kind, CONTAINER[0], Be("false")),
        rule(kind, CONTAINER[1], Say("ALL")),
        rule(kind, CONTAINER[2], Be("true")),
    ]
}

const CONTAINER: [&str; 3] = [
    "spec/template/spec/containers/*/securityContext/allowPrivilegeEscalation",
    "spec/template/spec/containers/*/securityContext/capabilities/drop/*",
    "spec/template/spec/containers/*/securityContext/readOnlyRootFilesystem",
];
