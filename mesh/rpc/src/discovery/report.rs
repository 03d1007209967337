//! How discovery stands, for people.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Snapshot, State, known::Details};

/// Where a service's addresses come from and what they are worth, for the admin port.
///
/// Its text is one line, such as `dns:orders.shop: stale for 12 s (SERVFAIL), 10.0.0.1:50051,
/// 10.0.0.2:50051; next look-up in 4 s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The source, in the form that it was configured with.
    pub source: String,
    /// The addresses.
    pub addresses: Arc<[SocketAddr]>,
    /// What they are worth.
    pub state: State,
    /// For how long it has been so.
    pub age: Duration,
    /// Why they are not fresh; none if they are.
    pub why: Option<Arc<str>>,
    /// The time until the source is asked again, zero while it is being asked; none if it never
    /// is, or was not yet.
    pub next: Option<Duration>,
    /// Whether balancing, ejection and repeating by status are a sidecar's business.
    pub sidecar: bool,
}

impl Report {
    pub(super) fn new(source: String, snapshot: Snapshot, details: Details) -> Self {
        let now = Instant::now();
        let Snapshot { addresses, state, sidecar } = snapshot;
        let age = now.saturating_duration_since(details.since);
        let next = details.next.map(|next| next.saturating_duration_since(now));
        Self { source, addresses, state, age, why: details.why, next, sidecar }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} for {} s", self.source, self.state.as_str(), self.age.as_secs())?;
        if let Some(why) = &self.why {
            write!(f, " ({why})")?;
        }
        for address in &*self.addresses {
            write!(f, ", {address}")?;
        }
        if self.sidecar {
            f.write_str("; a sidecar balances and ejects")?;
        }
        if let Some(next) = self.next {
            write!(f, "; next look-up in {} s", next.as_secs_f64().ceil())?;
        }
        Ok(())
    }
}

impl State {
    /// `pending`, `fresh`, `stale` or `gone`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Gone => "gone",
        }
    }
}
