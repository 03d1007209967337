//! The policy in force: contracts, defaults, and a file that is read again while the service runs.
//!
//! ```no_run
//! use mesh_rpc::policy::LivePolicy;
//! use mesh_runtime::{Service, ServiceConfig};
//!
//! async fn start(config: ServiceConfig) -> anyhow::Result<()> {
//!     let service = Service::begin("orders", &config).await?;
//!     let policy = LivePolicy::of_service(&service, &config, &[mesh_proto::DESCRIPTORS])?;
//!
//!     let call = policy.current();
//!     let call = call.method("mesh.operator.v1.SagasService/ListSagas").expect("it is there");
//!     println!("{:?}, {} attempts", call.deadline, call.retry.attempts);
//!
//!     // Whatever is sized by a value follows it.
//!     let mut changes = policy.follow();
//!     while changes.changed().await.is_ok() {
//!         println!("{:?}", changes.borrow_and_update().target("payments").bulkhead);
//!     }
//!     Ok(())
//! }
//! ```

mod file;
mod report;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use mesh_policy::{Effective, Table, values::Call};
use mesh_runtime::{ConfigError, Service, ServiceConfig};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use file::PolicyFile;
use report::Report;

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What holds for calls now. Cheap to clone; clones see the same.
///
/// A file that is missing, is not TOML, or asks for more than the contracts allow is refused as a
/// whole: the values before it stay in force, the reason is logged once, counted
/// (`mesh.policy.reloads` with `outcome`), kept as a gauge (`mesh.policy.refused`), and shown at
/// the admin port's `/policy` beside every value and its source.
#[derive(Clone, Debug)]
pub struct LivePolicy {
    current: watch::Sender<Arc<Effective>>,
}

impl Default for LivePolicy {
    /// Of no contract, with the default values, for ever.
    fn default() -> Self {
        let nothing = Table::from_descriptors(&[]).expect("nothing contradicts nothing");
        Self::fixed(Effective::of_contracts(Arc::new(nothing)))
    }
}

impl LivePolicy {
    /// Begins with the contracts that `descriptors` are sets of, those of the platform's operators,
    /// and the file that the configuration names.
    ///
    /// The sets must hold every RPC that the file may name: those that are called too.
    pub fn of_service(
        service: &Service,
        config: &ServiceConfig,
        descriptors: &[&[u8]],
    ) -> anyhow::Result<Self> {
        let sets = [descriptors, &[mesh_proto::DESCRIPTORS]].concat();
        let contracts = Table::from_descriptors(&sets).context("a contract is at fault")?;
        Self::start(service, Arc::new(contracts), config.mesh_policy.as_deref())
    }

    /// Begins with the contracts and, if there is one, the file; then looks at the file every
    /// second, and at once on SIGHUP, until the service has stopped.
    ///
    /// A file that is refused at the start is a [`ConfigError`]: there are no earlier values, and
    /// to go on without those that an operator set could undo what holds an incident down. Must be
    /// called inside a tokio runtime, once per service.
    pub fn start(
        service: &Service,
        contracts: Arc<Table>,
        file: Option<&Path>,
    ) -> anyhow::Result<Self> {
        Self::start_with(service, contracts, file, EVERY)
    }

    /// As [`start`](Self::start), but looks at the file this often.
    pub fn start_with(
        service: &Service,
        contracts: Arc<Table>,
        file: Option<&Path>,
        every: Duration,
    ) -> anyhow::Result<Self> {
        // Without a file too: a hang-up that is meant for all processes must not end this one.
        let mut hangups = signal(SignalKind::hangup()).context("SIGHUP cannot be handled")?;
        let report = Report::new(service.name(), file);
        let Some(path) = file else {
            let policy = Self::fixed(Effective::of_contracts(contracts));
            policy.show(service, report);
            return Ok(policy);
        };
        let (mut file, first) = PolicyFile::open(path, contracts)
            .map_err(|why| ConfigError(format!("MESH_POLICY {}: {why}", path.display())))?;
        let policy = Self::fixed(first);
        report.applied();
        policy.show(service, report.clone());

        let (current, stopped) = (policy.current.clone(), service.stopped());
        service.spawn("policy", async move {
            let mut looks = tokio::time::interval(every);
            looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                let is_asked = tokio::select! {
                    _ = looks.tick() => false,
                    _ = hangups.recv() => true,
                    () = stopped.cancelled() => return,
                };
                match file.look(is_asked).await {
                    None => (),
                    Some(Ok(effective)) => {
                        report.applied();
                        current.send_replace(Arc::new(effective));
                    }
                    Some(Err(why)) => report.refused(why),
                }
            }
        });
        Ok(policy)
    }

    /// A policy that never changes, for whoever has no file and no service.
    pub fn fixed(effective: Effective) -> Self {
        Self { current: watch::Sender::new(Arc::new(effective)) }
    }

    /// What holds now. Costs a read lock that only a change contends for, and a reference count:
    /// take it once per call, so that all of the call sees the same.
    pub fn current(&self) -> Arc<Effective> {
        Arc::clone(&self.current.borrow())
    }

    /// What holds now for `package.Service/Method`; nothing if no contract has it. Costs one hash
    /// of the path beside what [`current`](Self::current) costs, and copies plain values.
    pub fn method(&self, path: &str) -> Option<Call> {
        self.current.borrow().method(path).copied()
    }

    /// Tells of every change, for what is sized by a value.
    pub fn follow(&self) -> watch::Receiver<Arc<Effective>> {
        self.current.subscribe()
    }

    fn show(&self, service: &Service, report: Report) {
        let policy = self.clone();
        service.admin_table("policy", move || {
            let mut table = policy.current().to_json();
            table["file"] = report.to_json();
            table
        });
    }
}
