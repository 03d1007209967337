//! What can be set from outside.

use std::time::Duration;

use clap::value_parser;
use mesh_runtime::ServiceConfig;
use uuid::Uuid;

use crate::cache::Limits;

/// Puts together what a page of the shop shows.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "storefront", version)]
pub struct Config {
    #[command(flatten)]
    pub service: ServiceConfig,

    /// The longest that a part of a page is waited for, in milliseconds.
    #[arg(long, env, default_value_t = 1_000, value_parser = value_parser!(u32).range(10..=30_000))]
    pub part_limit_ms: u32,

    /// For how many seconds what the catalog said is taken as it is, unless a change is heard of.
    #[arg(long, env, default_value_t = 30, value_parser = value_parser!(u32).range(0..=86_400))]
    pub fresh_seconds: u32,

    /// For how many seconds after that it is shown while it is asked for anew.
    #[arg(long, env, default_value_t = 300, value_parser = value_parser!(u32).range(0..=86_400))]
    pub stale_seconds: u32,

    /// For how many seconds it is shown if the catalog does not answer.
    #[arg(long, env, default_value_t = 86_400, value_parser = value_parser!(u32).range(0..=604_800))]
    pub kept_seconds: u32,

    /// The category that is featured: whose products the home page shows to who asks for no other.
    #[arg(long, env)]
    pub featured_category: Option<Uuid>,

    /// How many answers of the catalog are kept.
    #[arg(long, env, default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub kept_answers: u32,
}

impl Config {
    pub(crate) fn part_limit(&self) -> Duration {
        Duration::from_millis(self.part_limit_ms.into())
    }

    pub(crate) fn limits(&self) -> Limits {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Limits {
            fresh: seconds(self.fresh_seconds),
            stale: seconds(self.stale_seconds),
            kept: seconds(self.kept_seconds),
            entries: usize::try_from(self.kept_answers).unwrap_or(usize::MAX),
        }
    }
}

impl AsRef<ServiceConfig> for Config {
    fn as_ref(&self) -> &ServiceConfig {
        &self.service
    }
}
