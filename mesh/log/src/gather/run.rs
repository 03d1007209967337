//! The task behind a [`Gather`](super::Gather).

use std::{collections::HashSet, collections::VecDeque, sync::Arc, time::Duration};

use mesh_runtime::crash;
use opentelemetry::{KeyValue, metrics::Histogram};
use sqlx::PgConnection;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Entry, Work};
use crate::{Database, SubmitError, database::is_connection_lost};

/// How many commands one commit carries at most.
const BATCH: usize = 256;
/// How many commands are put off at most before no more are looked at: the others stay in the
/// queue, which is bounded.
const PUT_OFF: usize = 1024;
/// How long one batch may take before its connection is given up.
const BATCH_LIMIT: Duration = Duration::from_secs(8);
/// How often a batch is tried when it loses a deadlock or a serialization race, or its connection.
const ATTEMPTS: u32 = 4;
/// Pause before a batch is tried on another connection; longer each time.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Runner<W: Work> {
    db: Database,
    work: Arc<W>,
    waiting: mpsc::Receiver<Entry<W>>,
    /// Commands whose exclusive key was taken by an earlier one.
    deferred: VecDeque<Entry<W>>,
    connection: Option<PgConnection>,
    metrics: Metrics,
}

struct Metrics {
    service: KeyValue,
    size: Histogram<u64>,
    duration: Histogram<f64>,
}

impl<W: Work> Runner<W> {
    pub(super) fn new(
        db: Database,
        service: &'static str,
        work: Arc<W>,
        waiting: mpsc::Receiver<Entry<W>>,
    ) -> Self {
        let meter = mesh_runtime::metrics::meter();
        let metrics = Metrics {
            service: KeyValue::new("service", service),
            size: meter.u64_histogram("mesh.log.batch.size").with_unit("{command}").build(),
            duration: meter.f64_histogram("mesh.log.batch.duration").with_unit("s").build(),
        };
        Self { db, work, waiting, deferred: VecDeque::new(), connection: None, metrics }
    }

    /// Carries out what comes in until the service has stopped, then what still waits.
    pub(super) async fn run(mut self, stopped: CancellationToken) {
        loop {
            let first = match self.deferred.pop_front() {
                Some(entry) => Some(entry),
                None => tokio::select! {
                    entry = self.waiting.recv() => entry,
                    () = stopped.cancelled() => self.waiting.try_recv().ok(),
                },
            };
            let Some(first) = first else { return };
            let batch = self.gather(first);
            self.carry_out(batch).await;
        }
    }

    /// Takes what waits, without those that have expired or must wait for another.
    fn gather(&mut self, first: Entry<W>) -> Vec<Entry<W>> {
        let mut batch = Vec::new();
        let mut taken = HashSet::new();
        let mut later = VecDeque::new();
        let mut next = Some(first);
        while let Some(entry) = next {
            if entry.expires <= Instant::now() {
                let _ = entry.answer.send(Err(SubmitError::Expired));
            } else {
                let keys = W::exclusive(&entry.command);
                if keys.iter().any(|key| taken.contains(key)) {
                    // Its other keys are taken too: order among commands of one key is kept.
                    taken.extend(keys);
                    later.push_back(entry);
                } else {
                    taken.extend(keys);
                    batch.push(entry);
                }
            }
            if batch.len() >= BATCH || later.len() >= PUT_OFF {
                break;
            }
            next = self.deferred.pop_front().or_else(|| self.waiting.try_recv().ok());
        }
        // What was not looked at stays behind what was put off.
        later.append(&mut self.deferred);
        self.deferred = later;
        batch
    }

    async fn carry_out(&mut self, batch: Vec<Entry<W>>) {
        if batch.is_empty() {
            return;
        }
        let started = Instant::now();
        let (commands, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|entry| (entry.command, entry.answer)).unzip();
        let size = commands.len();
        match self.apply(&commands).await {
            Ok(outcomes) => {
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    let _ = answer.send(Ok(outcome));
                }
            }
            // One command that cannot be written must not fail its neighbours.
            Err(error) if size > 1 && !is_connection_lost(&error) => {
                for (command, answer) in commands.into_iter().zip(answers) {
                    let alone = self.apply(std::slice::from_ref(&command)).await;
                    let outcome = alone.map(|mut outcomes| outcomes.remove(0));
                    let _ = answer.send(outcome.map_err(failed));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for answer in answers {
                    let _ = answer.send(Err(SubmitError::Database(Arc::clone(&error))));
                }
            }
        }
        let service = std::slice::from_ref(&self.metrics.service);
        self.metrics.size.record(size as u64, service);
        self.metrics.duration.record(started.elapsed().as_secs_f64(), service);
    }

    /// Applies commands until they are known to be committed or refused.
    async fn apply(&mut self, commands: &[W::Command]) -> sqlx::Result<Vec<W::Outcome>> {
        let mut unknown = false;
        let mut attempt = 1;
        loop {
            match self.attempt(commands).await {
                Ok(outcomes) if unknown && outcomes.iter().any(W::is_doubtful) => unknown = false,
                Ok(outcomes) => {
                    self.work.committed(commands, &outcomes);
                    self.db.wake().notify();
                    return Ok(outcomes);
                }
                Err(error) if attempt < ATTEMPTS && is_worth_another(&error) => {
                    if is_connection_lost(&error) {
                        unknown = true;
                        tokio::time::sleep(RECONNECT_PAUSE * attempt).await;
                    }
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn attempt(&mut self, commands: &[W::Command]) -> sqlx::Result<Vec<W::Outcome>> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.db.dedicated().await?,
        };
        let applying = apply_once(&*self.work, &mut connection, commands);
        let result = match tokio::time::timeout(BATCH_LIMIT, applying).await {
            Ok(result) => result,
            // The connection is dropped, and its transaction with it.
            Err(_) => return Err(sqlx::Error::PoolTimedOut),
        };
        let usable = match &result {
            Ok(_) => true,
            Err(error) if is_connection_lost(error) => false,
            Err(_) if W::ONE_STATEMENT => true,
            Err(_) => sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.is_ok(),
        };
        self.connection = usable.then_some(connection);
        result
    }
}

async fn apply_once<W: Work>(
    work: &W,
    connection: &mut PgConnection,
    commands: &[W::Command],
) -> sqlx::Result<Vec<W::Outcome>> {
    let crash = |when| commands.iter().for_each(|command| crash::point(W::label(command), when));
    if W::ONE_STATEMENT {
        crash("before_commit");
        let outcomes = work.apply(connection, commands).await?;
        crash("after_commit");
        return Ok(outcomes);
    }
    sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
    let outcomes = work.apply(connection, commands).await?;
    debug_assert_eq!(outcomes.len(), commands.len(), "one outcome per command");
    crash("before_commit");
    sqlx::raw_sql("COMMIT").execute(&mut *connection).await?;
    crash("after_commit");
    Ok(outcomes)
}

fn failed(error: sqlx::Error) -> SubmitError {
    SubmitError::Database(Arc::new(error))
}

/// True for a lost race (deadlock, serialization, a key that another transaction took meanwhile,
/// which the next attempt finds) and for a connection that was lost.
fn is_worth_another(error: &sqlx::Error) -> bool {
    let lost_race = |code: &str| matches!(code, "40001" | "40P01" | "23505");
    is_connection_lost(error)
        || error.as_database_error().and_then(|error| error.code()).is_some_and(|c| lost_race(&c))
}
