//! Settings of the orders service.

use std::time::Duration;

use clap::Parser;
use mesh_runtime::ServiceConfig;

use crate::domain::Limits;

/// Takes orders and follows them to a final state.
#[derive(Clone, Debug, Parser)]
#[command(name = "orders", version)]
pub struct Config {
    #[command(flatten)]
    pub service: ServiceConfig,

    /// Seconds for which a step before the capture may stay unknown until the order turns back.
    #[arg(long, env = "CHECKOUT_STEP_LIMIT_SECONDS", default_value_t = 20.0)]
    pub checkout_step_limit_seconds: f64,

    /// Seconds after which a checkout that can neither go on nor turn back asks for a person.
    #[arg(long, env = "CHECKOUT_LIMIT_SECONDS", default_value_t = 300.0)]
    pub checkout_limit_seconds: f64,

    /// Seconds for which stock is held for an order that is not paid yet.
    #[arg(long, env = "RESERVATION_HOLD_SECONDS", default_value_t = 600)]
    pub reservation_hold_seconds: u32,
}

impl AsRef<ServiceConfig> for Config {
    fn as_ref(&self) -> &ServiceConfig {
        &self.service
    }
}

impl Config {
    pub(crate) fn limits(&self) -> Limits {
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        Limits {
            step: seconds(self.checkout_step_limit_seconds),
            saga: seconds(self.checkout_limit_seconds),
        }
    }
}
