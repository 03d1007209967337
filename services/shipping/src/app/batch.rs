//! One batch: lock what the commands name, decide them in turn, write everything.

use std::collections::HashMap;

use mesh_log::{
    Event, conclude,
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

/// One row, under lock if it `is_known`; there is none if nothing is known of the shipment yet.
struct Entry {
    row: Option<Row>,
    is_known: bool,
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
    let (locked, now) = store::lock(tx, &named(|_| true)).await?;
    let known = |row: Row| Entry { row: Some(row), is_known: true, now, changed: false };
    let mut entries: HashMap<_, _> =
        locked.into_iter().map(|row| (row.shipment.id, known(row))).collect();
    for id in named(Action::makes_shipment) {
        entries.entry(id).or_insert(Entry { row: None, is_known: false, now, changed: false });
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
            (Action::Create { order_id, customer_id, address, parcel }, row @ None) => {
                let terms = quote(address.country, *parcel)?;
                let mut shipment = Shipment::create(id, *order_id, terms, now);
                shipment.customer_id = *customer_id;
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

    async fn save(self, tx: &mut PgConnection) -> sqlx::Result<()> {
        let changed: Vec<_> =
            self.entries.values().filter(|e| e.changed).filter_map(|e| e.row.as_ref()).collect();
        let is_new = |id| self.entries.get(&id).is_some_and(|entry| !entry.is_known);
        store::save(tx, &changed, is_new).await?;
        conclude(tx, &self.done, &self.log).await
    }
}
