//! What can be set.

use std::time::Duration;

use mesh_runtime::ServiceConfig;

/// Charges cards through a card processor, exactly once, and keeps the ledger.
#[derive(Clone, Debug, clap::Parser)]
pub struct Config {
    #[command(flatten)]
    pub service: ServiceConfig,

    /// How many milliseconds a payment may wait for the processor's answer before it is asked
    /// again without a caller.
    #[arg(long, env, default_value_t = 3_000)]
    pub settle_after_ms: u32,
}

impl Config {
    pub(crate) fn settle_after(&self) -> Duration {
        Duration::from_millis(self.settle_after_ms.into())
    }
}

impl AsRef<ServiceConfig> for Config {
    fn as_ref(&self) -> &ServiceConfig {
        &self.service
    }
}
