//! What can be set from outside.

use mesh_runtime::ServiceConfig;

/// Brings parcels to customers.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "shipping", version)]
pub struct Config {
    #[command(flatten)]
    pub service: ServiceConfig,
}

impl AsRef<ServiceConfig> for Config {
    fn as_ref(&self) -> &ServiceConfig {
        &self.service
    }
}
