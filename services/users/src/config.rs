//! What can be set from outside.

use std::{path::PathBuf, time::Duration};

use clap::value_parser;
use mesh_runtime::ServiceConfig;

/// Knows who has an account, and signs them in.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "users", version)]
pub struct Config {
    #[command(flatten)]
    pub service: ServiceConfig,

    /// The file with the key that signs access tokens (PKCS#8, base64), by whoever gives its public half
    /// to those who verify. Without it keys are made here, and turned.
    #[arg(long, env)]
    pub signing_key: Option<PathBuf>,

    /// How many seconds before it signs another key in `SIGNING_KEY` is published. Services hear of it at once;
    /// where sidecars verify tokens too, it is to be longer than they go without asking for keys.
    #[arg(long, env, default_value_t = 10, value_parser = value_parser!(u32).range(10..=86_400))]
    pub signing_key_ahead: u32,

    /// For how many seconds a key that is made here signs access tokens before the next one does.
    #[arg(long, env, default_value_t = 7 * 24 * 60 * 60, value_parser = value_parser!(u32).range(60..=31_536_000))]
    pub signing_key_life: u32,

    /// How many passwords are hashed at once; each takes 19 MiB and a processor.
    #[arg(long, env, default_value_t = 2, value_parser = value_parser!(u16).range(1..=64))]
    pub passwords_at_once: u16,

    /// After how many wrong passwords for one account its next ones have to wait.
    #[arg(long, env, default_value_t = 5, value_parser = value_parser!(u16).range(1..=1_000))]
    pub free_attempts_per_account: u16,

    /// After how many wrong passwords from one address its next ones have to wait.
    #[arg(long, env, default_value_t = 100, value_parser = value_parser!(u16).range(1..=10_000))]
    pub free_attempts_per_address: u16,
}

impl Config {
    /// Everything but what every service has as it is by default.
    pub fn new(service: ServiceConfig) -> Self {
        Self {
            service,
            signing_key: None,
            signing_key_ahead: 10,
            signing_key_life: 7 * 24 * 60 * 60,
            passwords_at_once: 2,
            free_attempts_per_account: 5,
            free_attempts_per_address: 100,
        }
    }

    pub(crate) fn signing_key_ahead(&self) -> Duration {
        Duration::from_secs(self.signing_key_ahead.into())
    }

    pub(crate) fn signing_key_life(&self) -> Duration {
        Duration::from_secs(self.signing_key_life.into())
    }
}

impl AsRef<ServiceConfig> for Config {
    fn as_ref(&self) -> &ServiceConfig {
        &self.service
    }
}
