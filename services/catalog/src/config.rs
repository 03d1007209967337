//! What can be set from outside.

use mesh_runtime::ServiceConfig;

/// Knows what the shop sells, and for how much.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "catalog", version)]
pub struct Config {
    #[command(flatten)]
    pub service: ServiceConfig,
}

impl AsRef<ServiceConfig> for Config {
    fn as_ref(&self) -> &ServiceConfig {
        &self.service
    }
}
