//! Many commands, one transaction, one outcome each.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    mem,
};

use futures::{FutureExt as _, future::BoxFuture};
use mesh_events::Claim;
use mesh_log::{
    Meta, Work,
    requests::{self, Key, Seen},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{self, Answer, Change, Digest, Ledger, Refusal, Slot, Threshold, Transfer},
    events, metrics, store,
};

/// Something that may happen to the stock, and what makes it happen once.
#[derive(Debug)]
pub struct Command {
    pub what: domain::Command,
    pub guard: Guard,
    /// Where it came from; its events say so.
    pub meta: Meta,
}

/// What makes a command that comes again change nothing.
#[derive(Debug)]
pub enum Guard {
    /// The thing that it makes, or the state that it leads to.
    Itself,
    /// The key of a request that changes a thing without creating it.
    Request { key: Key, digest: Digest },
    /// The inbox of the event that caused it.
    Event(Claim),
}

/// What a command came to, and whether that is news.
#[derive(Debug)]
pub struct Done {
    pub answer: Answer,
    pub changed: bool,
}

/// Carries out commands on the stock.
#[derive(Debug)]
pub struct StockWork;

impl Work for StockWork {
    type Command = Command;
    type Outcome = Result<Done, Refusal>;

    fn label(command: &Command) -> &'static str {
        match &command.what {
            domain::Command::Receive { .. } => "receive_stock",
            domain::Command::Adjust(_) => "adjust_stock",
            domain::Command::SetThreshold { .. } => "set_low_stock_threshold",
            domain::Command::Reserve { .. } => "reserve_stock",
            domain::Command::Change { change: Change::Commit, .. } => "commit_reservation",
            domain::Command::Change { change: Change::Release, .. } => "release_reservation",
            domain::Command::Change { change: Change::Ship, .. } => "ship_reservation",
            domain::Command::Change { change: Change::Restock, .. } => "restock_reservation",
            domain::Command::Change { change: Change::Expire, .. } => "expire_reservation",
            domain::Command::Transfer { transfer: Transfer::Ship, .. } => "ship_order",
            domain::Command::Transfer { transfer: Transfer::WriteOff, .. } => "write_off_order",
        }
    }

    fn apply<'c>(
        &'c self,
        tx: &'c mut PgConnection,
        commands: &'c [Command],
    ) -> BoxFuture<'c, sqlx::Result<Vec<Self::Outcome>>> {
        async move {
            let mut batch = Batch::load(tx, commands).await?;
            let outcomes = batch.decide(tx, commands).await?;
            batch.save(tx).await?;
            Ok(outcomes)
        }
        .boxed()
    }

    fn committed(&self, commands: &[Command], outcomes: &[Self::Outcome]) {
        for (command, outcome) in commands.iter().zip(outcomes) {
            if command.what.wants_pieces() && matches!(outcome, Err(Refusal::OutOfStock { .. })) {
                metrics::stock_out();
            }
        }
    }
}

/// The rows that the commands of one transaction work on, all locked.
struct Batch {
    ledger: Ledger,
    /// Ids of reservations that have no row yet.
    fresh: HashSet<Uuid>,
    seen: HashMap<Key, Seen>,
    recorded: Vec<(Key, Seen)>,
    /// Where each announcement of the ledger came from.
    metas: Vec<Meta>,
}

impl Batch {
    /// Locks reservations first, then stock, each in the order of their keys.
    async fn load(tx: &mut PgConnection, commands: &[Command]) -> sqlx::Result<Self> {
        let mut wants = Wants::of(commands);
        let (mut slots, mut fresh) = (BTreeMap::new(), HashSet::new());
        let mut ids = mem::take(&mut wants.locked);
        ids.extend(&wants.free);
        if !wants.orders.is_empty() {
            ids.extend(store::reservations_of_orders(tx, &wants.orders).await?);
        }
        if !ids.is_empty() {
            let (known, now) = store::lock_reservations(tx, &ids).await?;
            slots.extend(known.into_iter().map(|known| (known.id, Slot::Known(known))));
            fresh.extend(wants.free.iter().filter(|id| !slots.contains_key(id)));
            slots.extend(fresh.iter().map(|id| (*id, Slot::Fresh(now))));
        }
        let mut seen = requests::find(tx, &wants.keys).await?;
        let ledger = load_stock(tx, commands, slots, &wants).await?;
        // What changes a SKU is repeated behind the lock on the SKU.
        seen.extend(requests::find(tx, &wants.keys_of_skus).await?);
        Ok(Self { ledger, fresh, seen, recorded: Vec::new(), metas: Vec::new() })
    }

    /// Decides what events brought before the rest: none of the rest may come between the check
    /// of an event and its effect, because only an event that has one may be claimed.
    async fn decide(
        &mut self,
        tx: &mut PgConnection,
        commands: &[Command],
    ) -> sqlx::Result<Vec<Result<Done, Refusal>>> {
        let mut claimed = self.claim(tx, commands).await?;
        let decide = |(n, command): (usize, &Command)| match &command.guard {
            Guard::Event(_) => claimed.remove(&n).expect("every event is decided"),
            Guard::Request { key, digest } => self.apply_once(command, *key, *digest),
            Guard::Itself => self.apply(command),
        };
        Ok(commands.iter().enumerate().map(decide).collect())
    }

    /// Claims and applies the events that can be applied; the others are refused, unclaimed, and
    /// come again. One outcome for the place of each event.
    async fn claim(
        &mut self,
        tx: &mut PgConnection,
        commands: &[Command],
    ) -> sqlx::Result<HashMap<usize, Result<Done, Refusal>>> {
        let (mut outcomes, mut places, mut claims) = (HashMap::new(), Vec::new(), Vec::new());
        for (n, command) in commands.iter().enumerate() {
            let Guard::Event(claim) = &command.guard else { continue };
            match self.check(&command.what) {
                Ok(()) => {
                    places.push(n);
                    claims.push(claim.clone());
                }
                Err(refusal) => {
                    outcomes.insert(n, Err(refusal));
                }
            }
        }
        if claims.is_empty() {
            return Ok(outcomes);
        }
        for (n, is_new) in places.into_iter().zip(mesh_events::take_all(tx, &claims).await?) {
            let known = || Ok(Done { answer: Answer::Transferred(0), changed: false });
            outcomes.insert(n, if is_new { self.apply(&commands[n]) } else { known() });
        }
        Ok(outcomes)
    }

    async fn save(self, tx: &mut PgConnection) -> sqlx::Result<()> {
        let writes = self.ledger.into_writes();
        if !writes.is_empty() {
            store::write(tx, &writes, &self.fresh).await?;
        }
        store::drop_unused(tx, &writes).await?;
        let announced = events::rows(&writes.announcements, &self.metas);
        mesh_log::conclude(tx, &self.recorded, &announced).await
    }

    fn check(&self, command: &domain::Command) -> Result<(), Refusal> {
        match command {
            domain::Command::Transfer { order_id, transfer } => {
                self.ledger.check_transfer(*order_id, *transfer)
            }
            _ => Ok(()),
        }
    }

    /// Applies a request, or answers as the first request with its key was answered.
    fn apply_once(&mut self, command: &Command, key: Key, digest: Digest) -> Result<Done, Refusal> {
        if let Some(first) = self.seen.get(&key) {
            let answer = self.answer_again(&command.what, first).filter(|_| first.digest == digest);
            let answer = answer.ok_or(Refusal::RequestContentDiffers)?;
            return Ok(Done { answer, changed: false });
        }
        let done = self.apply(command)?;
        let changed = match &done.answer {
            Answer::Reservation(reservation) => Some((reservation.id, reservation.version())),
            Answer::Threshold(set) => Some((events::stock_key(&set.sku), set.version)),
            _ => None,
        };
        if let Some((thing, version)) = changed {
            let seen = Seen { digest, thing, version };
            self.seen.insert(key, seen);
            self.recorded.push((key, seen));
        }
        Ok(done)
    }

    /// What the first request with a key was answered, if this one has the same content.
    fn answer_again(&self, command: &domain::Command, first: &Seen) -> Option<Answer> {
        if let domain::Command::SetThreshold { sku, threshold, .. } = command {
            let (sku, threshold, version) = (sku.clone(), *threshold, first.version);
            return Some(Answer::Threshold(Threshold { sku, threshold, version }));
        }
        self.ledger.reservation_at(first.thing, first.version).map(Answer::Reservation)
    }

    fn apply(&mut self, command: &Command) -> Result<Done, Refusal> {
        let before = self.ledger.changes();
        let answer = self.ledger.apply(&command.what)?;
        self.metas.resize(self.ledger.announcements().len(), command.meta.clone());
        Ok(Done { answer, changed: self.ledger.changes() > before })
    }
}

/// The rows that a batch of commands names.
#[derive(Default)]
struct Wants {
    /// Ids of reservations that may have to be made.
    free: Vec<Uuid>,
    /// Ids of reservations that are only changed if they exist.
    locked: Vec<Uuid>,
    orders: Vec<Uuid>,
    deliveries: Vec<Uuid>,
    adjustments: Vec<Uuid>,
    /// Keys of requests that change a reservation.
    keys: Vec<Key>,
    /// Keys of requests that change a SKU.
    keys_of_skus: Vec<Key>,
}

impl Wants {
    fn of(commands: &[Command]) -> Self {
        let mut wants = Self::default();
        for command in commands {
            match &command.what {
                domain::Command::Receive { id, .. } => wants.deliveries.push(*id),
                domain::Command::Adjust(adjust) => wants.adjustments.push(adjust.id),
                domain::Command::SetThreshold { .. } => {}
                domain::Command::Reserve { id, .. } => wants.free.push(*id),
                domain::Command::Change { reservation, change } if change.leaves_a_mark() => {
                    wants.free.push(*reservation);
                }
                domain::Command::Change { reservation, .. } => wants.locked.push(*reservation),
                domain::Command::Transfer { order_id, .. } => wants.orders.push(*order_id),
            }
            if let Guard::Request { key, .. } = &command.guard {
                let of_sku = matches!(command.what, domain::Command::SetThreshold { .. });
                if of_sku { &mut wants.keys_of_skus } else { &mut wants.keys }.push(*key);
            }
        }
        wants
    }
}

async fn load_stock(
    tx: &mut PgConnection,
    commands: &[Command],
    slots: BTreeMap<Uuid, Slot>,
    wants: &Wants,
) -> sqlx::Result<Ledger> {
    let (mut wanted, mut delivered) = (Vec::new(), Vec::new());
    for command in commands {
        match &command.what {
            domain::Command::Receive { sku, .. } => delivered.push(sku.as_str()),
            domain::Command::Adjust(adjust) => wanted.push(adjust.sku.as_str()),
            domain::Command::SetThreshold { sku, .. } => wanted.push(sku.as_str()),
            domain::Command::Reserve { lines, .. } => {
                wanted.extend(lines.as_slice().iter().map(|line| line.sku.as_str()));
            }
            domain::Command::Change { .. } | domain::Command::Transfer { .. } => {}
        }
    }
    for slot in slots.values() {
        if let Slot::Known(reservation) = slot {
            wanted.extend(reservation.lines.iter().map(|line| line.sku.as_str()));
        }
    }
    if !delivered.is_empty() {
        store::keep_skus_free(tx, &delivered).await?;
        wanted.extend(&delivered);
    }
    wanted.sort_unstable();
    wanted.dedup();
    let stock = if wanted.is_empty() { Vec::new() } else { store::lock_stock(tx, &wanted).await? };
    // Whoever sends the same once more waits for the row of its SKU, so this sees the first.
    let delivered = match &wants.deliveries[..] {
        [] => Vec::new(),
        ids => store::find_deliveries(tx, ids).await?,
    };
    let adjusted = match &wants.adjustments[..] {
        [] => Vec::new(),
        ids => store::find_adjustments(tx, ids).await?,
    };
    Ok(Ledger::new(stock, slots, delivered, adjusted))
}
