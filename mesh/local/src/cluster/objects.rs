//! The objects that a cluster has before anybody applies one.

use anyhow::{Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::Cluster;
use super::control::SYSTEM;

/// Who validates Istio's objects before they are kept.
const VALIDATION: &str = "validation";

impl Cluster {
    pub(super) async fn define(&self) -> Result<()> {
        let kubectl = self.kubectl();
        for folder in self.tools.definitions() {
            kubectl.apply_from("--filename", &folder).await?;
        }
        let all = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"];
        kubectl.run(&all).await?;
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace",
                                "metadata": { "name": SYSTEM } });
        kubectl.apply(&[namespace]).await
    }

    /// Istio's objects are validated by istiod before they are kept, as in any cluster.
    pub(super) async fn validate(&self) -> Result<()> {
        let kubectl = self.kubectl();
        let root = kubectl.get(&["configmap", "istio-ca-root-cert", "--namespace", SYSTEM]).await?;
        let root = root["data"]["root-cert.pem"].as_str().unwrap_or_default();
        ensure!(!root.is_empty(), "istiod has not said which certificate it is known by");
        let bundle = STANDARD.encode(root);
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": VALIDATION },
            "webhooks": [{
                "name": "validation.istio.io",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {
                    "url": format!("https://{}/validate", self.istiod_at(1)),
                    "caBundle": bundle,
                },
                "failurePolicy": "Fail",
                "rules": [{
                    "apiGroups": [
                        "security.istio.io", "networking.istio.io", "telemetry.istio.io",
                    ],
                    "apiVersions": ["*"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": ["*"],
                }],
                "sideEffects": "None",
            }],
        });
        kubectl.apply(&[object]).await
    }
}
