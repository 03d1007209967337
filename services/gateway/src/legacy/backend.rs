//! An old system, asked by HTTP/1.1: with a limit of time, of bytes, of requests at once, and a circuit.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::{sync::Semaphore, time::timeout};

use super::{
    circuit::{Circuit, Ticket},
    metrics,
};
use crate::refused::Refused;

/// How long a connection may take that can be made at all.
const CONNECT: Duration = Duration::from_secs(1);
/// How long a connection is kept that nobody needs; less than servers keep theirs.
const IDLE: Duration = Duration::from_secs(15);

/// Where an old system is, and how much it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) name: Arc<str>,
    /// Paths are put behind it.
    pub(super) url: String,
    /// For an answer to its last byte.
    pub(super) limit: Duration,
    pub(super) at_once: usize,
    /// Of an answer's body.
    pub(super) max_bytes: usize,
    /// Whether it is shown the user's token.
    pub(super) sends_token: bool,
}

/// An old system.
pub(super) struct Backend {
    pub(super) settings: Settings,
    client: Client<HttpConnector, Full<Bytes>>,
    places: Semaphore,
    circuit: Mutex<Circuit>,
}

/// What it says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
}

/// Why it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// It fails again and again, and is left alone.
    LeftAlone,
    /// Too many requests are under way.
    Full,
    /// Nothing was sent: there is no connection.
    Unreachable,
    /// The answer broke off, or is no HTTP.
    Broken,
    Slow,
    TooLarge,
    /// The answer is encoded, which nobody has asked for.
    Encoded,
}

impl Failed {
    /// Its name in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::LeftAlone => "left_alone",
            Self::Full => "full",
            Self::Unreachable => "unreachable",
            Self::Broken => "broken",
            Self::Slow => "slow",
            Self::TooLarge => "too_large",
            Self::Encoded => "encoded",
        }
    }

    /// What the client is told, if nobody else answers.
    pub(super) fn refused(self) -> Refused {
        match self {
            Self::LeftAlone | Self::Full | Self::Unreachable => Refused::LegacyAway,
            Self::Broken | Self::TooLarge | Self::Encoded => Refused::LegacyBroken,
            Self::Slow => Refused::LegacySlow,
        }
    }

    /// Whether it speaks against the system as a whole.
    fn counts(self) -> bool {
        matches!(self, Self::Unreachable | Self::Broken | Self::Slow)
    }
}

impl Backend {
    pub(super) fn new(settings: Settings) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT.min(settings.limit)));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(settings.at_once)
            .build(connector);
        let places = Semaphore::new(settings.at_once.min(Semaphore::MAX_PERMITS));
        Self { settings, client, places, circuit: Mutex::default() }
    }

    /// Asks for `target`, a path and its query, and waits for all of the answer.
    pub(super) async fn ask(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Failed> {
        let begun = Instant::now();
        let asked = self.ask_if_it_may(begun, (method, target), headers, body).await;
        let outcome = match &asked {
            Ok(_) => "answered",
            Err(failed) => failed.as_str(),
        };
        metrics::took(&self.settings.name, outcome, begun.elapsed());
        asked
    }

    async fn ask_if_it_may(
        &self,
        begun: Instant,
        (method, target): (Method, &str),
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Failed> {
        let Settings { url, limit, .. } = &self.settings;
        let _place = self.places.try_acquire().map_err(|_| Failed::Full)?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        // What no URI can be was no request's path either.
        *request.uri_mut() = format!("{url}{target}").parse::<Uri>().map_err(|_| Failed::Broken)?;
        *request.headers_mut() = headers;
        let ticket = self.lock().may_ask(begun, *limit).ok_or(Failed::LeftAlone)?;
        let asked = timeout(*limit, self.exchange(request)).await;
        let asked = asked.unwrap_or(Err(Failed::Slow));
        self.note(ticket, &asked);
        asked
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Failed> {
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| match error.is_connect() {
            true => Failed::Unreachable,
            false => Failed::Broken,
        })?;
        let (head, body) = answer.into_parts();
        if head.headers.get(header::CONTENT_ENCODING).is_some_and(|it| it != "identity") {
            return Err(Failed::Encoded);
        }
        let body = Limited::new(body, self.settings.max_bytes).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => Failed::TooLarge,
            false => Failed::Broken,
        })?;
        Ok(Answer { status: head.status, headers: head.headers, bytes: body.to_bytes() })
    }

    /// Takes in how it went, and says when that changes whether it is asked.
    fn note(&self, ticket: Ticket, asked: &Result<Answer, Failed>) {
        let is_good = match asked {
            Ok(answer) => !answer.status.is_server_error(),
            Err(failed) => !failed.counts(),
        };
        let changed = self.lock().note(Instant::now(), ticket, is_good);
        let Some(is_open) = changed else { return };
        let backend = &*self.settings.name;
        metrics::circuit(backend, is_open);
        match is_open {
            true => tracing::warn!(backend, "old system fails: left alone for a while"),
            false => tracing::info!(backend, "old system answers again"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backend").field(&self.settings).finish()
    }
}
