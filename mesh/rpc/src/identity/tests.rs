use std::path::PathBuf;

use mesh_local::{Authority, ServiceKeys};
use uuid::Uuid;

use super::*;

struct Lab(PathBuf);

impl Lab {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("identity-{}", Uuid::new_v4().simple())))
    }

    fn with_certificate(&self, service: &str) -> ServiceConfig {
        let files = Authority::open(&self.0).unwrap().issue(service).unwrap().files;
        ServiceConfig {
            tls_cert: Some(files.certificate),
            tls_key: Some(files.key),
            tls_ca: Some(files.trust),
            ..ServiceConfig::default()
        }
    }

    fn with_key(&self, service: &str) -> ServiceConfig {
        let keys = ServiceKeys::make(&self.0, &[service]).unwrap();
        ServiceConfig {
            service_key: Some(keys.private(service)),
            service_keys: Some(keys.public()),
            ..ServiceConfig::default()
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn id(identity: Result<Identity, ConfigError>) -> Option<String> {
    identity.unwrap().id().map(|id| id.to_string())
}

#[tokio::test]
async fn a_service_is_who_its_configuration_says() {
    let lab = Lab::new();
    let (tls, key) = (lab.with_certificate("orders"), lab.with_key("orders"));
    let both = ServiceConfig { service_keys: key.service_keys.clone(), ..tls.clone() };

    let orders = Some("spiffe://mesh.local/orders".to_owned());
    assert_eq!(id(Identity::configured("orders", &tls)), orders);
    assert_eq!(id(Identity::configured("orders", &key)), orders);
    assert_eq!(id(Identity::configured("orders", &both)), orders, "the certificate counts");
    assert_eq!(id(Identity::configured("orders", &ServiceConfig::default())), None);
}

#[tokio::test]
async fn beside_a_sidecar_the_service_is_who_the_sidecars_certificate_says() {
    let beside = |id: &str| ServiceConfig {
        sidecar_addr: Some([127, 0, 0, 6].into()),
        spiffe_id: Some(id.to_owned()),
        ..ServiceConfig::default()
    };
    let istio = "spiffe://cluster.local/ns/shop/sa/orders";

    let identity = Identity::configured("orders", &beside(istio)).unwrap();

    assert_eq!(identity.id().unwrap().as_str(), istio);
    assert_eq!(identity.connect("payments").unwrap().scheme(), http::uri::Scheme::HTTP);
    let refused = |service, config: &ServiceConfig| {
        Identity::configured(service, config).unwrap_err().to_string()
    };
    assert!(refused("payments", &beside(istio)).contains("who calls `payments`"));
    assert!(refused("orders", &beside("orders")).contains("`orders` is no SPIFFE id"));
    let half = ServiceConfig { spiffe_id: None, ..beside(istio) };
    assert!(refused("orders", &half).contains("set both, or neither"));
}

#[tokio::test]
async fn half_an_identity_and_somebody_elses_are_refused_with_the_way_out() {
    let lab = Lab::new();
    let (tls, key) = (lab.with_certificate("orders"), lab.with_key("orders"));
    let refused = |service, config: &ServiceConfig| {
        Identity::configured(service, config).unwrap_err().to_string()
    };

    let half = refused("orders", &ServiceConfig { tls_ca: None, ..tls.clone() });
    assert!(half.contains("set all three, or none"), "{half}");
    let half = refused("orders", &ServiceConfig { service_keys: None, ..key.clone() });
    assert!(half.contains("set both, or neither"), "{half}");
    let gone = ServiceConfig { tls_key: Some("/nowhere/key.pem".into()), ..tls.clone() };
    assert!(refused("orders", &gone).contains("/nowhere/key.pem cannot be read"));
    assert!(refused("payments", &tls).contains("spiffe://mesh.local/orders"));
    assert!(refused("payments", &key).contains("no key of `payments`"));
}

#[tokio::test]
async fn calls_carry_a_token_in_plaintext_and_nothing_over_tls() {
    let lab = Lab::new();
    let key = Identity::configured("orders", &lab.with_key("orders")).unwrap();
    let certificate = Identity::configured("orders", &lab.with_certificate("orders")).unwrap();
    let attached = |identity: &Identity| {
        let mut headers = HeaderMap::new();
        identity.attach("payments", &mut headers);
        headers
    };

    let token = attached(&key);
    assert!(token.contains_key(crate::peer::token::HEADER));
    assert_eq!(token, attached(&key), "signed once");
    assert!(attached(&certificate).is_empty());
    assert!(attached(&Identity::default()).is_empty());
    let scheme = |identity: &Identity| identity.connect("payments").unwrap().scheme();
    assert_eq!(scheme(&key), http::uri::Scheme::HTTP);
    assert_eq!(scheme(&certificate), http::uri::Scheme::HTTPS);
    assert!(certificate.connect("pay ments").is_err());
    assert!(key.connect("pay ments").is_err());
}
