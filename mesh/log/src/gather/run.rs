//! The task behind a [`Gather`](super::Gather).

use std::{collections::HashSet, collections::VecDeque, sync::Arc, time::Duration};

use mesh_runtime::crash;
use opentelemetry::{KeyValue, metrics::Histogram};
use sqlx::PgConnection;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{Entry, Work, batch::Batch, pace::Pace, told::Told};
use crate::{Database, SubmitError, database::is_connection_lost, limits, statement};

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
    pace: Pace,
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
        Self {
            db,
            work,
            waiting,
            deferred: VecDeque::new(),
            connection: None,
            pace: Pace::new(W::PACE),
            metrics,
        }
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
            self.pace.wait(BATCH, || self.waiting.len()).await;
            self.pace.begin();
            let batch = self.gather(first);
            let size = batch.len();
            self.carry_out(batch).await;
            self.pace.end(size);
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

    async fn carry_out(&mut self, entries: Vec<Entry<W>>) {
        if entries.is_empty() {
            return;
        }
        let started = Instant::now();
        let size = entries.len();
        let mut batch = Batch::new(entries);
        match self.apply(&mut batch).await {
            Ok(outcomes) => batch.succeed(outcomes),
            // One command that cannot be written must not fail its neighbours.
            Err(error) if size > 1 && !is_connection_lost(&error) => {
                for mut alone in batch.split() {
                    match self.apply(&mut alone).await {
                        Ok(outcomes) => alone.succeed(outcomes),
                        Err(error) => alone.fail(&error),
                    }
                }
            }
            Err(error) => batch.fail(&error),
        }
        let service = std::slice::from_ref(&self.metrics.service);
        self.metrics.size.record(size as u64, service);
        self.metrics.duration.record(started.elapsed().as_secs_f64(), service);
    }

    /// Applies commands until they are known to be committed or refused; those of them that expire
    /// before are taken out.
    async fn apply(&mut self, batch: &mut Batch<W>) -> Result<Vec<W::Outcome>, Arc<sqlx::Error>> {
        let mut doubtful = batch.is_lost();
        let mut attempt = 1;
        loop {
            let error = match self.connect().await {
                Ok(connection) => {
                    batch.shed();
                    if batch.commands().is_empty() {
                        self.connection = Some(connection);
                        return Ok(Vec::new());
                    }
                    match self.attempt(connection, batch).await {
                        Ok(outcomes) if doubtful && outcomes.iter().any(W::is_doubtful) => {
                            doubtful = false;
                            continue;
                        }
                        Ok(outcomes) => return Ok(self.committed(batch.commands(), outcomes)),
                        Err(error) => {
                            let error = Arc::new(error);
                            if is_connection_lost(&error) {
                                doubtful = true;
                                batch.lose(Arc::clone(&error));
                            }
                            error
                        }
                    }
                }
                // Nothing was sent.
                Err(error) => Arc::new(error),
            };
            if attempt == ATTEMPTS || !is_worth_another(&error) {
                return Err(error);
            }
            if is_connection_lost(&error) {
                tokio::time::sleep(RECONNECT_PAUSE * attempt).await;
            }
            attempt += 1;
        }
    }

    fn committed(&self, commands: &[W::Command], outcomes: Vec<W::Outcome>) -> Vec<W::Outcome> {
        self.work.committed(commands, &outcomes);
        if W::WRITES {
            self.db.wake().notify();
        }
        outcomes
    }

    async fn connect(&mut self) -> sqlx::Result<PgConnection> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.db.dedicated().await,
        }
    }

    async fn attempt(
        &mut self,
        mut connection: PgConnection,
        batch: &Batch<W>,
    ) -> sqlx::Result<Vec<W::Outcome>> {
        let told = Told::begin::<W>(batch.seen(), batch.commands().len());
        let applying = apply_once(&*self.work, &mut connection, batch.commands());
        let applied = tokio::time::timeout(BATCH_LIMIT, applying.instrument(told.first())).await;
        let result = applied.unwrap_or_else(|_| Err(limits::silent()));
        told.end(result.as_ref().err());
        let usable = match &result {
            Ok(_) => true,
            // The connection is dropped, and its transaction with it.
            Err(error) if is_connection_lost(error) => false,
            Err(_) if W::ONE_STATEMENT => true,
            Err(_) => {
                let undoing = sqlx::raw_sql("ROLLBACK").execute(&mut connection);
                matches!(tokio::time::timeout(BATCH_LIMIT, undoing).await, Ok(Ok(_)))
            }
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
        let outcomes = one_each(work.apply(connection, commands).await?, commands.len())?;
        crash("after_commit");
        return Ok(outcomes);
    }
    statement("BEGIN", sqlx::raw_sql("BEGIN").execute(&mut *connection)).await?;
    let outcomes = one_each(work.apply(connection, commands).await?, commands.len())?;
    crash("before_commit");
    statement("COMMIT", sqlx::raw_sql("COMMIT").execute(&mut *connection)).await?;
    crash("after_commit");
    Ok(outcomes)
}

/// Outcomes belong to commands by their place: better none than a neighbour's.
fn one_each<O>(outcomes: Vec<O>, commands: usize) -> sqlx::Result<Vec<O>> {
    if outcomes.len() == commands {
        return Ok(outcomes);
    }
    let error = format!("{} outcomes for {commands} commands", outcomes.len());
    Err(sqlx::Error::Decode(error.into()))
}

/// True for a lost race (deadlock, serialization, a key that another transaction took meanwhile,
/// which the next attempt finds) and for a connection that was lost.
fn is_worth_another(error: &sqlx::Error) -> bool {
    let lost_race = |code: &str| matches!(code, "40001" | "40P01" | "23505");
    is_connection_lost(error)
        || error.as_database_error().and_then(|error| error.code()).is_some_and(|c| lost_race(&c))
}
