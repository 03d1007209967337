//! By what of calls a change is seen.

use std::time::Duration;

/// Seen so often in a row it is no accident.
pub const TWICE: u32 = 2;
/// Until most changes show that are heeded.
const SOON: Duration = Duration::from_secs(10);

/// By what a change is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// Whoever is let through should not be, or the other way around.
    Let,
    /// Somebody is let through to a service of which no policy says anything.
    Unnamed,
    /// A plaintext connection is answered.
    Plain,
    /// A token is believed, or not, or does not come through.
    Known,
    /// Calls repeat themselves.
    Repeated,
    /// A call comes nowhere.
    Routed,
    /// A service reaches somebody no longer, or is reached no longer.
    Reached,
    /// A failing process is not left alone.
    Ejected,
    /// One that fails otherwise than by being away is left alone.
    Broken,
    /// The last of all is left alone.
    Spared,
    /// Who is left alone is so for long.
    Long,
    /// A few calls are too many.
    Full,
    /// Calls do not fit on as few connections as there may be.
    Narrow,
    /// Calls are refused while a connection is opened.
    Crowded,
    /// Of calls that go well lines are written, or of those that fail none.
    Told,
    /// A call is ended early.
    Timed,
    /// A caller's Envoy holds to something else.
    Given,
}

impl Seen {
    /// Whether services are replaced by doubles for it.
    pub fn is_of_doubles(self) -> bool {
        use Seen::{Broken, Crowded, Ejected, Full, Long, Narrow, Repeated, Spared, Timed};
        matches!(
            self,
            Repeated | Ejected | Broken | Spared | Long | Full | Narrow | Crowded | Timed
        )
    }

    /// How often in a row it has to be seen. Connections are opened once.
    pub fn times(self) -> u32 {
        if self == Self::Crowded { 1 } else { TWICE }
    }

    /// Until a change that is heeded shows.
    pub fn soon(self) -> Duration {
        match self {
            Self::Told | Self::Long => SOON * 6,
            _ => SOON,
        }
    }

    pub fn says(self) -> &'static str {
        match self {
            Self::Let => "who is let through: authorization",
            Self::Unnamed => "who is let through where nothing is said",
            Self::Plain => "plaintext is answered: mTLS",
            Self::Known => "whose tokens are believed",
            Self::Repeated => "who repeats: retries, routes",
            Self::Routed => "where calls go: weights' routes, subsets, TLS of clients",
            Self::Reached => "whom a sidecar knows: egress",
            Self::Ejected => "who is left alone: outliers",
            Self::Broken => "who is not left alone: outliers",
            Self::Spared => "who is never left alone: outliers",
            Self::Long => "how long one is left alone: outliers",
            Self::Full => "how many calls there may be: pools",
            Self::Narrow => "how many connections there may be: pools",
            Self::Crowded => "how many calls may wait for a connection: pools",
            Self::Told => "of which calls lines are written: telemetry",
            Self::Timed => "how long a call may take: time-outs",
            Self::Given => "what a caller's Envoy holds to: connections, balancing",
        }
    }
}
