//! Where the services are that this one calls, and how it calls them.

use std::str::FromStr;

use anyhow::Context as _;
use mesh_runtime::{ConfigError, Service, Target, parse_discovery};

use super::Channel;
use crate::{Identity, discovery::Endpoints, policy::LivePolicy};

/// Where the services are that this one calls.
///
/// Its text form is `payments=static:127.0.0.1:1,127.0.0.1:2;catalog=dns:catalog.shop.svc:50051`;
/// see [`Source`](crate::discovery::Source) for every kind of place.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    targets: Vec<Target>,
    policy: Option<LivePolicy>,
    identity: Identity,
}

impl Discovery {
    /// Calls as contracts and operators say. Without it no contract is known.
    pub fn policy(mut self, policy: &LivePolicy) -> Self {
        self.policy = Some(policy.clone());
        self
    }

    /// Calls as `identity`. Without it calls are in plaintext, and do not say who makes them.
    pub fn identity(mut self, identity: &Identity) -> Self {
        self.identity = identity.clone();
        self
    }

    /// Returns a channel to `target`, which begins to connect, and shows it at the admin port under
    /// `/endpoints`.
    ///
    /// # Errors
    /// If the configuration does not say where `target` is.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn channel(&self, service: &Service, target: &str) -> anyhow::Result<Channel> {
        let found = self.targets.iter().find(|known| known.service == target);
        let found = found.with_context(|| ConfigError(format!("DISCOVERY lacks `{target}`")))?;
        let mut builder = Channel::builder(service.name(), target).identity(&self.identity)?;
        if let Some(policy) = &self.policy {
            builder = builder.policy(policy);
        }
        let channel = builder.follow(&Endpoints::follow(&found.source));
        let shown = channel.clone();
        service.admin_table(&format!("endpoints/{target}"), move || shown.table());
        Ok(channel)
    }
}

impl FromStr for Discovery {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Ok(Self { targets: parse_discovery(text)?, ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unknown_target_is_a_matter_of_configuration() {
        let config = mesh_runtime::ServiceConfig::default();
        let service = Service::begin("test", &config).await.unwrap();
        let discovery: Discovery = "payments=static:127.0.0.1:1".parse().unwrap();

        let error = discovery.channel(&service, "catalog").unwrap_err();

        assert!(error.is::<ConfigError>());
        assert!(discovery.channel(&service, "payments").is_ok());
    }
}
