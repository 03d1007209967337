//! Hears what one test traces while others run beside it.

use std::sync::OnceLock;

use tracing::{
    Dispatch, Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::{DefaultGuard, Interest},
};

/// Makes `subscriber` hear what this thread traces until the guard is dropped.
///
/// Use it instead of `tracing::subscriber::set_default`: while a process has one subscriber at
/// most, tracing asks only that of the thread that first comes to a place whether the place is of
/// interest. A test beside this one, which has none, would silence the place for all.
pub fn hear(subscriber: impl Subscriber + Send + Sync) -> DefaultGuard {
    static OTHERS: OnceLock<[Dispatch; 2]> = OnceLock::new();
    OTHERS.get_or_init(|| [Dispatch::new(Curious), Dispatch::new(Curious)]);
    tracing::subscriber::set_default(subscriber)
}

/// Never the subscriber of any thread: it only keeps every place of interest.
struct Curious;

impl Subscriber for Curious {
    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, _event: &Event<'_>) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}
