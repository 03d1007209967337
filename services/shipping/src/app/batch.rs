//! One batch: lock what the commands name, decide them in turn, write everything.

use std::collections::HashMap;

use mesh_log::{
    Event, append_all,
    requests::{self, Key, Seen},
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Action, Command, Done};
use crate::{
    domain::{Refusal, Shipment, quote},
    events,
    store::{self, Row},
};

/// Carries the commands out in the caller's transaction; one outcome each, in their order.
pub async fn apply(
    tx: &mut PgConnection,
    commands: &[Command],
) -> sqlx::Result<Vec<Result<Done, Refusal>>> {
    let mut batch = load(tx, commands).await?;
    let outcomes = commands.iter().map(|command| batch.decide(command)).collect();
    batch.save(tx).await?;
    Ok(outcomes)
}

/// What the commands are decided on, and what they changed.
#[derive(Default)]
struct Batch {
    entries: HashMap<Uuid, Entry>,
    seen: HashMap<Key, Seen>,
    done: Vec<(Key, Seen)>,
    log: Vec<(Uuid, i32, Event)>,
}

/// One locked row. It has no content yet if this transaction made it, to have something to lock.
struct Entry {
    row: Option<Row>,
    now: OffsetDateTime,
    changed: bool,
}

/// Locks every shipment that is named, in the order of their ids. Only then does it look for keys:
/// a request that comes twice at once waits for the first at its shipment.
async fn load(tx: &mut PgConnection, commands: &[Command]) -> sqlx::Result<Batch> {
    let named = |wanted: fn(&Action) -> bool| {
        let ids = commands.iter().filter(|c| wanted(&c.action)).map(|c| c.shipment_id);
        sorted(ids.collect())
    };
    let mut entries: HashMap<_, _> = store::claim(tx, &named(Action::claims_id))
        .await?
        .into_iter()
        .map(|(id, now)| (id, Entry { row: None, now, changed: false }))
        .collect();
    let known: Vec<_> =
        named(|_| true).into_iter().filter(|id| !entries.contains_key(id)).collect();
    for (row, now) in store::lock(tx, &known).await? {
        entries.insert(row.shipment.id, Entry { row: Some(row), now, changed: false });
    }
    let keys: Vec<_> = commands.iter().filter_map(|command| command.action.key()).collect();
    let seen = requests::find(tx, &keys).await?;
    Ok(Batch { entries, seen, ..Batch::default() })
}

fn sorted(mut ids: Vec<Uuid>) -> Vec<Uuid> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

impl Batch {
    fn decide(&mut self, command: &Command) -> Result<Done, Refusal> {
        match self.first_outcome(command) {
            Some(outcome) => Ok(Done { shipment: outcome?, changed: false }),
            None => self.decide_new(command),
        }
    }

    /// What the request was answered when it came for the first time, if it did.
    fn first_outcome(&self, command: &Command) -> Option<Result<Shipment, Refusal>> {
        let (digest, version) = match command.action.key() {
            Some(key) => self.seen.get(&key).map(|seen| (seen.digest, seen.version))?,
            None => (self.row(command.shipment_id)?.digest?, 1),
        };
        if digest != command.digest {
            return Some(Err(Refusal::ContentDiffers));
        }
        // The same content names the same shipment.
        self.row(command.shipment_id).map(|row| Ok(row.shipment.at(version)))
    }

    fn decide_new(&mut self, command: &Command) -> Result<Done, Refusal> {
        let id = command.shipment_id;
        let entry = self.entries.get_mut(&id).ok_or(Refusal::NotFound)?;
        let now = entry.now;
        let changed = match (&command.action, &mut entry.row) {
            (Action::Create { .. }, Some(_)) => return Err(Refusal::CancelledBeforeArrival),
            (Action::Create { order_id, address, parcel }, row @ None) => {
                let terms = quote(address.country, *parcel)?;
                let shipment = Shipment::create(id, *order_id, terms, now);
                let (digest, address) = (Some(command.digest), Some(address.clone()));
                *row = Some(Row { shipment, digest, address });
                true
            }
            (Action::Cancel { .. }, row @ None) => {
                let shipment = Shipment::tombstone(id, now);
                *row = Some(Row { shipment, digest: None, address: None });
                true
            }
            (Action::Release { .. } | Action::Report { .. }, None) => {
                return Err(Refusal::NotFound);
            }
            (Action::Release { .. }, Some(row)) => row.shipment.release(now)?,
            (Action::Cancel { .. }, Some(row)) => row.shipment.cancel(now)?,
            (Action::Report { report, .. }, Some(row)) => {
                row.shipment.report(*report, now)?;
                true
            }
        };
        entry.changed |= changed;
        let shipment =
            self.row(id).expect("every arm that comes here leaves a row").shipment.clone();
        self.note(command, &shipment, changed);
        Ok(Done { shipment, changed })
    }

    fn note(&mut self, command: &Command, shipment: &Shipment, changed: bool) {
        let (id, version) = (shipment.id, shipment.version);
        if let Some(key) = command.action.key() {
            let seen = Seen { digest: command.digest, thing: id, version };
            self.seen.insert(key, seen);
            self.done.push((key, seen));
        }
        if changed && let Some(event) = events::announce(shipment, command.meta.clone()) {
            self.log.push((id, version, event));
        }
    }

    fn row(&self, id: Uuid) -> Option<&Row> {
        self.entries.get(&id)?.row.as_ref()
    }

    async fn save(mut self, tx: &mut PgConnection) -> sqlx::Result<()> {
        let changed: Vec<_> =
            self.entries.values().filter(|e| e.changed).filter_map(|e| e.row.as_ref()).collect();
        let refused: Vec<_> =
            self.entries.iter().filter(|(_, e)| e.row.is_none()).map(|(id, _)| *id).collect();
        store::save(tx, &changed, &refused).await?;
        append_all(tx, &self.log).await?;
        // In order, as the rows were locked: two batches never wait for each other in a circle.
        self.done.sort_unstable_by_key(|(key, _)| *key);
        requests::record(tx, &self.done).await
    }
}
