//! One connection: it answers calls until the peer leaves, or until it is too old, too quiet or too
//! wild, or the server ends; then it is told good-bye, its calls have time, and it is cut.

use std::{
    pin::pin,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Extensions;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use mesh_policy::values;
use opentelemetry::{KeyValue, metrics::Counter};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{Stack, call, rate, transport::Greeted};
use crate::{Deadline, turn::Turn};

/// Time that answers have to leave after the calls were ended.
const LAST_WORDS: Duration = Duration::from_millis(500);
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const MAX_STREAMS: u32 = 1024;
/// Calls that one connection may give up before they were looked at (CVE-2023-44487). The default
/// of 20 would take a burst of expired deadlines for an attack.
const MAX_PENDING_RESETS: usize = 1024;
/// Streams that one connection may make us reset by breaking the protocol (CVE-2025-8671).
const MAX_LOCAL_RESETS: usize = 1024;
/// Calls that one connection may give up while they are answered and before their deadline. Hedges
/// that lost and users who went away are far fewer, an attack is far more.
const RESETS: values::Rate = values::Rate { per_second: 1_000.0, burst: 2_000 };
/// What is left of a deadline when giving up counts as having reached it.
const NEARLY: Duration = Duration::from_millis(20);
/// More metadata than this is not even read: the peer sees HTTP's 431, and with a quarter more (h2's
/// bound for CONTINUATION frames, CVE-2024-27316) loses the connection.
const MAX_HEADERS: u32 = 128 << 10;

static ENDED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.rpc.server.connections_closed")
        .with_description("Connections that this side ended, by why and whether calls were cut")
        .build()
});

/// What the calls of one connection share.
pub(super) struct Connection {
    extensions: Extensions,
    /// Cancelled when its calls have to end.
    pub(super) stop: CancellationToken,
    born: Instant,
    calls: AtomicUsize,
    /// Milliseconds after `born` at which the last call ended.
    quiet_since: AtomicU64,
    resets: Mutex<rate::Due>,
    flooded: CancellationToken,
    /// When answers leave.
    pub(super) turn: Arc<Turn>,
}

impl Connection {
    pub(super) fn new(extensions: Extensions, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            extensions,
            stop,
            born: Instant::now(),
            calls: AtomicUsize::new(0),
            quiet_since: AtomicU64::new(0),
            resets: Mutex::new(None),
            flooded: CancellationToken::new(),
            turn: Arc::default(),
        })
    }

    /// Counts a call until what is returned is dropped.
    pub(super) fn begin(this: &Arc<Self>, deadline: Option<Deadline>) -> Underway {
        this.calls.fetch_add(1, Ordering::Relaxed);
        Underway { connection: Arc::clone(this), deadline, finished: false }
    }

    /// Tells a request who its peer is.
    pub(super) fn describe(&self, extensions: &mut Extensions) {
        let known = self.extensions.clone();
        if extensions.is_empty() {
            *extensions = known;
        } else {
            extensions.extend(known);
        }
    }

    fn quiet_since(&self) -> Option<Instant> {
        let since = self.quiet_since.load(Ordering::Relaxed);
        let busy = self.calls.load(Ordering::Relaxed) > 0;
        (!busy).then(|| self.born + Duration::from_millis(since))
    }

    fn reset(&self) {
        let mut due = self.resets.lock().unwrap_or_else(PoisonError::into_inner);
        match rate::arrive(&RESETS, *due, Instant::now()) {
            Ok(next) => *due = Some(next),
            Err(_) => self.flooded.cancel(),
        }
    }
}

/// A call that its connection counts.
pub(super) struct Underway {
    connection: Arc<Connection>,
    deadline: Option<Deadline>,
    finished: bool,
}

impl Underway {
    /// Notes that the call was answered.
    pub(super) fn finished(&mut self) {
        self.finished = true;
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let connection = &*self.connection;
        let age = u64::try_from(connection.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        connection.quiet_since.store(age, Ordering::Relaxed);
        connection.calls.fetch_sub(1, Ordering::Relaxed);
        if !self.finished && self.deadline.is_none_or(|deadline| deadline.remaining() > NEARLY) {
            connection.reset();
        }
    }
}

/// Why this side ends a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    Stopping,
    Old,
    Idle,
    Flooded,
}

impl Why {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::Old => "old",
            Self::Idle => "idle",
            Self::Flooded => "flooded",
        }
    }
}

/// Until when a connection lives.
pub(super) struct Life {
    /// When it is told good-bye.
    pub(super) good_bye: Instant,
    /// When it must have ended, whatever it does.
    pub(super) ends: Option<Instant>,
}

impl Life {
    /// `jitter` from 0.9 to 1.1, so that connections made together do not all part together.
    pub(super) fn new(values: &values::Server, jitter: f64, ends: Option<Instant>) -> Self {
        let now = Instant::now();
        let old = now + values.max_age.mul_f64(jitter);
        let before = |ends: Instant| ends.checked_sub(values.age_grace).unwrap_or(now);
        Self { good_bye: ends.map_or(old, |ends| old.min(before(ends))), ends }
    }

    fn cut(&self, grace: Duration) -> Instant {
        let cut = Instant::now() + grace;
        self.ends.map_or(cut, |ends| cut.min(ends))
    }
}

/// Answers calls until the connection ends.
pub(super) async fn converse(
    io: Greeted,
    stack: Arc<Stack>,
    connection: Arc<Connection>,
    life: Life,
) {
    let values = *stack.values.borrow();
    let (server, calls) = (Arc::clone(&stack), Arc::clone(&connection));
    let answer =
        service_fn(move |request| call::answer(Arc::clone(&server), Arc::clone(&calls), request));
    let http = http(&values).serve_connection(TokioIo::new(io), answer);
    let mut http = pin!(http);
    let why = tokio::select! {
        ended = http.as_mut() => return note(ended),
        why = over(&stack, &connection, &life) => why,
    };
    http.as_mut().graceful_shutdown();
    let cut = async {
        match why {
            Why::Flooded => {}
            Why::Stopping => connection.stop.cancelled().await,
            Why::Old | Why::Idle => {
                let grace = stack.values.borrow().age_grace;
                let late = sleep_until(life.cut(grace));
                tokio::select! { () = late => {}, () = connection.stop.cancelled() => {} }
            }
        }
    };
    let ended = tokio::select! {
        ended = http.as_mut() => Some(ended),
        () = cut => None,
    };
    let was_cut = ended.is_none();
    let attributes = [KeyValue::new("why", why.as_str()), KeyValue::new("cut", was_cut)];
    ENDED.add(1, &attributes);
    if let Some(ended) = ended {
        return note(ended);
    }
    let calls = connection.calls.load(Ordering::Relaxed);
    tracing::warn!(service = stack.name, calls, why = why.as_str(), "connection cut");
    connection.stop.cancel();
    let _ = timeout(LAST_WORDS, http).await;
}

/// Waits for a reason to end it.
async fn over(stack: &Stack, connection: &Connection, life: &Life) -> Why {
    let idle = async {
        loop {
            let max = stack.values.borrow().max_idle;
            let since = connection.quiet_since();
            let until = since.unwrap_or_else(Instant::now) + max;
            if since.is_some() && until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    };
    tokio::select! {
        () = stack.closing.cancelled() => Why::Stopping,
        () = connection.flooded.cancelled() => Why::Flooded,
        () = sleep_until(life.good_bye) => Why::Old,
        () = idle => Why::Idle,
    }
}

fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        // The peer's affair: it vanished, or breaks the protocol.
        tracing::debug!(%error, "connection ended");
    }
}

fn http(values: &values::Server) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(values.ping)
        .keep_alive_timeout(values.ping_limit)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .max_header_list_size(MAX_HEADERS);
    http
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_told_good_bye_so_early_that_its_calls_can_end_before_it_must() {
        let values = values::Server::default();
        let now = Instant::now();

        let endless = Life::new(&values, 0.9, None);
        let certified = Life::new(&values, 1.1, Some(now + Duration::from_secs(60)));
        let expired = Life::new(&values, 1.0, Some(now + Duration::from_secs(10)));

        assert_eq!(endless.good_bye, now + Duration::from_secs(540));
        assert_eq!(certified.good_bye, now + Duration::from_secs(30));
        assert_eq!(certified.cut(values.age_grace), now + Duration::from_secs(30));
        assert!(expired.good_bye <= now);
        assert_eq!(expired.cut(values.age_grace), now + Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn giving_calls_up_is_a_flood_only_at_a_rate_that_no_caller_has() {
        let connection = Connection::new(Extensions::new(), CancellationToken::new());
        let give_up = |deadline| drop(Connection::begin(&connection, deadline));

        for _ in 0..10_000 {
            give_up(Some(Deadline::after(Duration::ZERO)));
            let mut answered = Connection::begin(&connection, None);
            answered.finished();
        }
        (0..2_000).for_each(|_| give_up(None));
        assert!(!connection.flooded.is_cancelled());

        give_up(None);
        assert!(connection.flooded.is_cancelled());
    }
}
