//! What can be set.

use mesh_runtime::ServiceConfig;

/// A sandbox card processor: known card numbers, known outcomes, no money.
#[derive(Clone, Debug, clap::Parser)]
pub struct Config {
    #[command(flatten)]
    pub service: ServiceConfig,
}

impl AsRef<ServiceConfig> for Config {
    fn as_ref(&self) -> &ServiceConfig {
        &self.service
    }
}
