//! One running service and the order in which it ends.

use std::{
    future::Future,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use futures::FutureExt as _;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    Health, ServiceConfig, admin, metrics,
    tables::Tables,
    telemetry::{self, resource},
};

/// One running service of this process; several may share a process. Cheap to clone.
///
/// It ends in order: [`stop`](Self::stop) makes it unready and begins the drain; when nobody
/// [holds](Self::hold) it any more, background tasks are told that it has [stopped](Self::stopped);
/// [`finish`](Self::finish) waits for them.
#[derive(Clone, Debug)]
pub struct Service {
    inner: Arc<Inner>,
}

/// Keeps a service from counting as stopped, while calls are still answered.
#[derive(Debug)]
pub struct Hold {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: &'static str,
    instance: Uuid,
    version: String,
    baggage: Vec<String>,
    admin_addr: SocketAddr,
    health: Health,
    pre_stop: Duration,
    drain: Duration,
    draining: CancellationToken,
    stopped: CancellationToken,
    finished: CancellationToken,
    tasks: TaskTracker,
    tables: Tables,
    holds: AtomicUsize,
    failed: AtomicBool,
}

impl Service {
    /// Begins a service: it is alive and answers on its admin port, but is not ready.
    pub async fn begin(name: &'static str, config: &ServiceConfig) -> anyhow::Result<Self> {
        telemetry::init(name, config)?;
        let listener = TcpListener::bind(config.admin_addr)
            .await
            .with_context(|| format!("admin port {} cannot be bound", config.admin_addr))?;
        let service = Self {
            inner: Arc::new(Inner {
                name,
                instance: resource::instance(),
                version: config.service_version.clone(),
                baggage: config.baggage.clone(),
                admin_addr: listener.local_addr()?,
                health: Health::new(name),
                pre_stop: config.pre_stop,
                drain: config.drain,
                draining: CancellationToken::new(),
                stopped: CancellationToken::new(),
                finished: CancellationToken::new(),
                tasks: TaskTracker::new(),
                tables: Tables::default(),
                holds: AtomicUsize::new(0),
                failed: AtomicBool::new(false),
            }),
        };
        metrics::build_info(name, service.version());
        // Without it the service would be ready until its first part says that it is not.
        service.health().condition("rpc");
        tokio::spawn(admin::serve(listener, service.clone(), service.inner.finished.clone()));
        Ok(service)
    }

    /// The service's name.
    pub fn name(&self) -> &'static str {
        self.inner.name
    }

    /// Names this run of the service: new with every start.
    pub fn instance(&self) -> Uuid {
        self.inner.instance
    }

    /// Which version of the service this is.
    pub fn version(&self) -> &str {
        &self.inner.version
    }

    /// Keys of baggage that go on to the calls that the service makes.
    pub fn baggage(&self) -> &[String] {
        &self.inner.baggage
    }

    /// Where the admin port is.
    pub fn admin_addr(&self) -> SocketAddr {
        self.inner.admin_addr
    }

    /// What readiness rests on.
    pub fn health(&self) -> &Health {
        &self.inner.health
    }

    /// Shows a table as JSON on the admin port, at `/NAME`; `show` is asked each time.
    ///
    /// Several parts can share a table: what is shown as `endpoints/payments` is answered at that
    /// path, and at `/endpoints` as the value of `payments` beside the others. A later table of the
    /// same name takes an earlier one's place. The table stays as long as the service, so `show`
    /// should hold weakly what can end before. Names are lower case; those of the port's own pages
    /// (`healthz`, `readyz`, `metrics`) are never asked. Costs nothing until somebody looks; `show`
    /// runs on the service's own threads and must not block.
    pub fn admin_table(
        &self,
        name: &str,
        show: impl Fn() -> serde_json::Value + Send + Sync + 'static,
    ) {
        self.inner.tables.add(name, show);
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.inner.tables
    }

    /// Time between being unready and refusing connections.
    pub fn pre_stop(&self) -> Duration {
        self.inner.pre_stop
    }

    /// Time that calls in flight have to end.
    pub fn drain_limit(&self) -> Duration {
        self.inner.drain
    }

    /// Cancelled when the drain begins; streams end on it.
    pub fn draining(&self) -> CancellationToken {
        self.inner.draining.clone()
    }

    /// Cancelled when the last call has been answered; background tasks end on it.
    pub fn stopped(&self) -> CancellationToken {
        self.inner.stopped.clone()
    }

    /// Keeps the service from counting as stopped until the hold is dropped.
    pub fn hold(&self) -> Hold {
        self.inner.holds.fetch_add(1, Ordering::SeqCst);
        Hold { inner: Arc::clone(&self.inner) }
    }

    /// Runs a background task that ends by itself after [`stopped`](Self::stopped).
    ///
    /// A task that panics takes the service down: what it did is not done any more, and a restart
    /// is the way back.
    pub fn spawn(&self, task: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let service = self.clone();
        let span = tracing::info_span!(parent: None, "task", service = self.name(), task);
        let guarded = async move {
            if AssertUnwindSafe(future).catch_unwind().await.is_err() {
                tracing::error!(task, "background task panicked");
                service.inner.failed.store(true, Ordering::Relaxed);
                service.health().condition(task).down("panicked");
                service.stop();
            }
        };
        self.inner.tasks.spawn(guarded.instrument(span));
    }

    /// Begins the drain, as SIGTERM does. Again is no matter.
    pub fn stop(&self) {
        if !self.inner.draining.is_cancelled() {
            tracing::info!(service = self.name(), "draining");
        }
        self.health().drain();
        self.inner.draining.cancel();
        self.inner.stop_if_free();
    }

    /// Waits until the service was stopped and everything in it has ended.
    pub async fn finish(&self) {
        self.inner.stopped.cancelled().await;
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.finished.cancel();
    }

    /// Whether it ends because a part of it failed.
    pub fn has_failed(&self) -> bool {
        self.inner.failed.load(Ordering::Relaxed)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.inner.holds.fetch_sub(1, Ordering::SeqCst);
        self.inner.stop_if_free();
    }
}

impl Inner {
    /// Called after either side has changed, so the later of the two sees both.
    fn stop_if_free(&self) {
        if self.draining.is_cancelled() && self.holds.load(Ordering::SeqCst) == 0 {
            self.stopped.cancel();
        }
    }
}
