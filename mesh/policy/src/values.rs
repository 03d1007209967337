//! Operational values: what somebody turns in an incident, within what the contract allows.
//!
//! The defaults are those of gRPC's proposals where they have any, and of measurements with this
//! stack where they do not.

use std::time::Duration;

/// How a call is repeated after an answer that its contract calls safe to repeat (gRFC A6).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// Attempts in all, the first included; 1 to [`MAX_ATTEMPTS`](Self::MAX_ATTEMPTS).
    pub attempts: u32,
    /// The pause before the second attempt; each is drawn from ±20 %.
    pub first_backoff: Duration,
    /// What a pause is multiplied with for the next one; at least 1.
    pub multiplier: f64,
    /// No pause is longer.
    pub max_backoff: Duration,
}

impl Retry {
    /// More attempts than this are treated as this many (gRFC A6).
    pub const MAX_ATTEMPTS: u32 = 5;
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            first_backoff: Duration::from_millis(50),
            multiplier: 2.0,
            max_backoff: Duration::from_secs(1),
        }
    }
}

/// When a second copy of a slow call is sent to another endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hedge {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The least pause before the next copy.
    pub min_delay: Duration,
    /// The share of successful attempts that answer sooner than the pause, 0 to 1.
    pub percentile: f64,
    /// Without this many successful attempts to learn from, nothing is hedged.
    pub min_samples: usize,
    /// Copies at most, as a share of the calls, 0 to 1.
    pub max_share: f64,
}

impl Default for Hedge {
    fn default() -> Self {
        Self {
            attempts: 2,
            min_delay: Duration::from_millis(5),
            percentile: 0.95,
            min_samples: 100,
            max_share: 0.05,
        }
    }
}

/// What retries and hedges to one target may spend together (gRFC A6's throttle).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// The most tokens; a failure costs one, and at half of them nothing is repeated.
    pub tokens: f64,
    /// What a success earns, in tokens.
    pub ratio: f64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { tokens: 100.0, ratio: 0.2 }
    }
}

/// When an endpoint is taken out for what its answers say, and how it comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breaker {
    /// Failures in a row that open it.
    pub consecutive: u32,
    /// A share of successes below this opens it, 0 to 1.
    pub min_success: f64,
    /// The time over which the share is taken.
    pub window: Duration,
    /// With fewer calls in the window the share says nothing.
    pub min_calls: u32,
    /// How long it is open the first time; doubles each time the probe fails, ±20 %.
    pub open: Duration,
    /// The longest it is open.
    pub max_open: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            consecutive: 5,
            min_success: 0.5,
            window: Duration::from_secs(10),
            min_calls: 20,
            open: Duration::from_secs(1),
            max_open: Duration::from_secs(60),
        }
    }
}

/// When an endpoint is taken out for being worse than the others (gRFC A50).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlier {
    /// How often endpoints are compared.
    pub interval: Duration,
    /// With fewer endpoints that have enough calls, none is an outlier.
    pub min_hosts: usize,
    /// Calls that an endpoint needs within the interval to be compared.
    pub min_calls: u32,
    /// One whose success rate lies this many standard deviations below the mean is an outlier.
    pub deviations: f64,
    /// At most this share of the endpoints is out for any reason, 0 to 1; one always may be.
    pub max_share: f64,
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            min_hosts: 3,
            min_calls: 20,
            deviations: 1.9,
            max_share: 0.5,
        }
    }
}

/// How calls are spread over endpoints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Balance {
    /// The round trip assumed of an endpoint that was never asked.
    pub default_rtt: Duration,
    /// How fast an old round trip is forgotten.
    pub decay: Duration,
    /// The round trip that a failure counts as.
    pub penalty: Duration,
    /// How long a new endpoint's share rises to its full one.
    pub slow_start: Duration,
    /// An endpoint that was not picked for this long is picked next.
    pub repick: Duration,
    /// The longest that a call waits for a ready endpoint.
    pub max_wait: Duration,
}

impl Default for Balance {
    fn default() -> Self {
        Self {
            default_rtt: Duration::from_millis(30),
            decay: Duration::from_secs(10),
            penalty: Duration::from_secs(5),
            slow_start: Duration::from_secs(10),
            repick: Duration::from_secs(3),
            max_wait: Duration::from_secs(1),
        }
    }
}

/// How a client's connection is made and watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Connection {
    /// The longest that connecting may take.
    pub connect: Duration,
    /// The pause after the first failure to connect; grows by 1.6, ±20 %.
    pub first_backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
    /// A peer that says nothing for this long while calls run is asked whether it is there.
    pub ping: Duration,
    /// A peer that does not answer that within this time is gone.
    pub ping_limit: Duration,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            first_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(10),
            ping: Duration::from_secs(30),
            ping_limit: Duration::from_secs(10),
        }
    }
}

/// How the calls of one method are bounded and repeated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Call {
    /// The deadline of a call that comes without one.
    pub deadline: Duration,
    /// The longest deadline that is honoured; a longer one is cut to it.
    pub max_deadline: Duration,
    /// How it is repeated; one attempt if its contract lists no code that is safe to repeat. What
    /// the callee has surely not seen is sent again whatever this says.
    pub retry: Retry,
    /// When a second copy is sent; none if its contract does not allow one, or an operator
    /// switched it off. A method with one is hedged instead of retried.
    pub hedge: Option<Hedge>,
}

/// What holds for all calls of one process to one service.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Target {
    /// What repeating may cost.
    pub budget: Budget,
    /// Calls under way at once; more are refused.
    pub bulkhead: Bulkhead,
    /// When an endpoint is taken out by its own answers.
    pub breaker: Breaker,
    /// When an endpoint is taken out beside the others.
    pub outlier: Outlier,
    /// How calls are spread.
    pub balance: Balance,
    /// How connections are kept.
    pub connection: Connection,
}

/// How many calls may be under way, and how many may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bulkhead {
    /// Calls under way at once, until their bodies end.
    pub calls: usize,
    /// Calls that may wait for one of them to end.
    pub queue: usize,
}

impl Default for Bulkhead {
    fn default() -> Self {
        Self { calls: 256, queue: 0 }
    }
}

/// How often somebody may call (GCRA).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Calls per second in the long run.
    pub per_second: f64,
    /// Calls at once after a pause.
    pub burst: u32,
}

/// What holds for the server of one process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Server {
    /// Calls that are worked on at once, and those that may wait.
    pub bulkhead: Bulkhead,
    /// The rate of all callers together; none is no limit.
    pub total_rate: Option<Rate>,
    /// The rate of one caller; none is no limit.
    pub peer_rate: Option<Rate>,
    /// Connections are told good-bye at this age, ±10 %.
    pub max_age: Duration,
    /// Calls of such a connection have this long to end.
    pub age_grace: Duration,
    /// A connection without calls is told good-bye after this time.
    pub max_idle: Duration,
    /// A peer that says nothing for this long is asked whether it is there.
    pub ping: Duration,
    /// A peer that does not answer that within this time is gone.
    pub ping_limit: Duration,
    /// Connections at once; more are turned away.
    pub connections: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            // A stream that somebody watches for minutes is a call, too.
            bulkhead: Bulkhead { calls: 4096, queue: 1024 },
            total_rate: None,
            peer_rate: None,
            max_age: Duration::from_secs(600),
            age_grace: Duration::from_secs(30),
            max_idle: Duration::from_secs(900),
            ping: Duration::from_secs(60),
            ping_limit: Duration::from_secs(20),
            connections: 16_384,
        }
    }
}
