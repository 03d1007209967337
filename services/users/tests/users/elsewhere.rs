//! A service elsewhere, which verifies tokens and hears from the broker what it has to know for that.

use std::sync::Arc;

use mesh_auth::{Refused, Verifier};
use mesh_events::Nats;
use mesh_runtime::{Service, ServiceConfig};
use mesh_testkit::eventually;
use users::Config;

use crate::support::{Users, verifier};

pub struct Elsewhere {
    pub verifier: Arc<Verifier>,
    service: Service,
    _nats: Nats,
}

impl Elsewhere {
    /// One that was given the keys of the moment, and knows what is revoked.
    pub async fn start(users: &Users, broker: &str) -> Self {
        let config = ServiceConfig {
            nats_url: broker.parse().ok(),
            log_level: "off".to_owned(),
            ..ServiceConfig::default()
        };
        let service = Service::begin("elsewhere", &config).await.unwrap();
        let nats = mesh_events::connect(&service, &config).await.unwrap();
        let verifier = Arc::new(verifier());
        verifier.replace_keys(&users.keys().await);
        verifier.follow_keys(&service, nats.client(), nats.jetstream());
        verifier.revocations().follow(&service, nats.client(), nats.jetstream());
        let revocations = verifier.revocations();
        eventually("the bucket to be read", async || !revocations.is_lost()).await;
        Self { verifier, service, _nats: nats }
    }

    pub fn refuses(&self, token: &str) -> Option<Refused> {
        self.verifier.verify(&format!("Bearer {token}")).err()
    }

    /// Waits until it refuses a token, for this reason.
    pub async fn hears(&self, token: &str, why: Refused) {
        eventually("the token to be refused", async || self.refuses(token).is_some()).await;
        assert_eq!(self.refuses(token), Some(why));
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.service.stop();
    }
}

/// The configuration of a users service with this broker.
pub fn with_broker(url: String) -> impl FnOnce(Config) -> Config {
    move |config| {
        let service = ServiceConfig { nats_url: url.parse().ok(), ..config.service };
        Config { service, ..config }
    }
}
