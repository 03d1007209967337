//! What can be set from outside.

use mesh_runtime::ServiceConfig;

/// Keeps the stock: who may have how many pieces, without ever promising one twice.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "inventory", version)]
pub struct Config {
    #[command(flatten)]
    pub service: ServiceConfig,
}

impl AsRef<ServiceConfig> for Config {
    fn as_ref(&self) -> &ServiceConfig {
        &self.service
    }
}
