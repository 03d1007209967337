//! Two services that know each other by events, and what tests do to them.

mod broker;
mod effects;
mod node;
mod proxy;

pub use broker::{Broker, SHORT_WINDOW, copy_directory, headers, headers_at};
pub use effects::Effects;
pub use node::{Node, migrations};
pub use proxy::Proxy;

use futures::{FutureExt as _, future::BoxFuture};
use mesh_events::{Claim, HandleError, Handler, Incoming};
use mesh_log::Event;
use uuid::Uuid;

/// Stream of the service that publishes.
pub const STREAM: &str = "things";
/// Everything that it publishes.
pub const SUBJECTS: &[&str] = &["stranger.v1.>"];

/// What the publishing service announces.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Counted {
    #[prost(int32, tag = "1")]
    pub number: i32,
}

impl prost::Name for Counted {
    const NAME: &'static str = "Counted";
    const PACKAGE: &'static str = "stranger.v1";
}

/// Rows of one key: versions `versions`, one event each.
pub fn counted(key: Uuid, versions: impl IntoIterator<Item = i32>) -> Vec<(Uuid, i32, Event)> {
    versions
        .into_iter()
        .map(|version| (key, version, Event::public(&Counted { number: version })))
        .collect()
}

/// A handler made from a closure.
pub struct Closure<F>(pub F);

impl<F> Handler for Closure<F>
where
    F: Fn(Incoming, Claim) -> BoxFuture<'static, Result<(), HandleError>> + Send + Sync + 'static,
{
    fn handle(&self, event: Incoming, claim: Claim) -> BoxFuture<'_, Result<(), HandleError>> {
        self.0(event, claim).boxed()
    }
}

/// A key that is the same in every run.
pub fn key(number: u128) -> Uuid {
    Uuid::from_u128(number)
}
