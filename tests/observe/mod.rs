//! What an operator sees of a shop: its spans, its lines, its metrics, what these must not tell,
//! `top`, the way from an alert to its cause, and what a Collector keeps.

mod cardinality;
mod collector;
mod correlation;
mod database;
mod domain;
mod exposition;
mod fails_once;
mod golden;
mod marked;
mod personal;
mod talks;
mod top;
mod tree;
mod walks;

use std::path::PathBuf;

use mesh_testkit::{Platform, PlatformOptions, eventually};
use meshctl::traces::{Asked, Door, Forest, Limits, Span};

use crate::shop::{SERVICES, Shop, uuid};

/// A slow moment must not add an attempt to the trees.
const NO_HEDGES: &str = "[methods.\"*\"]\nhedge.attempts = 1\n";

/// A shop whose spans are kept, as `up` keeps them.
struct Traced {
    shop: Shop,
    door: Door,
}

impl Traced {
    async fn open() -> Self {
        Self::open_with(|options| options).await
    }

    async fn open_with(adjust: impl FnOnce(PlatformOptions) -> PlatformOptions) -> Self {
        Self::of(SERVICES, adjust).await
    }

    /// The same, with the front door before it.
    async fn with_gateway() -> Self {
        Self::of(&[SERVICES, &["storefront", "gateway"]].concat(), |options| options).await
    }

    async fn of(
        services: &[&str],
        adjust: impl FnOnce(PlatformOptions) -> PlatformOptions,
    ) -> Self {
        let door = Door::open(0, Limits::default()).await.unwrap();
        let endpoint = door.endpoint();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let policy = folder.join(format!("observe-{}.policy.toml", uuid()));
        std::fs::write(&policy, NO_HEDGES).unwrap();
        let options = PlatformOptions::new(services).env_of_all("OTLP_ENDPOINT", &endpoint);
        let options = options.env_of_all("OTLP_SIGNALS", "traces");
        let options = options.env_of_all("MESH_POLICY", policy.to_str().unwrap());
        let options = adjust(options.env_of_all("OTEL_BSP_SCHEDULE_DELAY", "100"));
        Self { shop: Shop { platform: Platform::start(options).await }, door }
    }

    /// All traces of an order's story, as they are now.
    fn story(&self, id: &str) -> Forest {
        let asked: Asked = id.parse().unwrap();
        let mut traces = self.door.buffer().answer(asked).traces;
        traces.sort_by_key(|trace| trace.iter().map(|span| span.start).min());
        Forest::of(traces)
    }

    /// A span that fits, once it has come in.
    async fn span(&self, what: &str, fits: impl Fn(&Span) -> bool) -> Span {
        eventually(&format!("a span of {what}"), async || {
            self.door.buffer().spans().into_iter().find(|span| fits(span))
        })
        .await
    }
}
