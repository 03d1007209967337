//! Commands on payments, many in one transaction: lock, decide, save.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use mesh_log::{
    Event, Meta, Work,
    requests::{self, Key, Seen},
};
use shop::money::Money;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{Answer, CardToken, Entry, Fact, Payment, Refund, Refusal, Terms, postings},
    events, metrics,
    store::{payments, refunds},
};

/// One step of one payment.
#[derive(Clone, Debug)]
pub struct Command {
    payment_id: Uuid,
    /// Where it came from; its events carry it.
    meta: Meta,
    action: Action,
}

/// What is to be recorded.
#[derive(Clone, Debug)]
pub enum Action {
    Authorize {
        terms: Terms,
        card_token: CardToken,
    },
    Capture {
        key: Uuid,
        digest: [u8; 16],
        part: Option<Money>,
    },
    Undo {
        key: Uuid,
        digest: [u8; 16],
    },
    Refund {
        key: Uuid,
        digest: [u8; 16],
        amount: Money,
    },
    /// What the processor answered in this step.
    Record {
        step: &'static str,
        answer: Answer,
    },
}

impl Command {
    /// A command of whoever is calling now.
    pub fn new(payment_id: Uuid, action: Action) -> Self {
        Self { payment_id, meta: Meta::current(), action }
    }

    /// The key under which a request is remembered, and its digest. An authorization is remembered
    /// by the payment itself.
    fn request(&self) -> Option<(Key, [u8; 16])> {
        match self.action {
            Action::Capture { key, digest, .. }
            | Action::Undo { key, digest }
            | Action::Refund { key, digest, .. } => {
                Some((Key::new(Writer::label(self), "", key), digest))
            }
            Action::Authorize { .. } | Action::Record { .. } => None,
        }
    }
}

/// The payment after a command, and what became known by it.
#[derive(Debug)]
pub struct Done {
    pub payment: Payment,
    pub fact: Option<Fact>,
}

/// Carries out commands on payments.
pub struct Writer {
    settle_after: Duration,
}

impl Writer {
    /// What still waits for the processor after `settle_after` is left to the sweeper.
    pub fn new(settle_after: Duration) -> Self {
        Self { settle_after }
    }
}

impl Work for Writer {
    type Command = Command;
    type Outcome = Result<Done, Refusal>;

    fn label(command: &Command) -> &'static str {
        match command.action {
            Action::Authorize { .. } => "authorize_intent",
            Action::Capture { .. } => "capture_intent",
            Action::Undo { .. } => "undo_intent",
            Action::Refund { .. } => "refund_intent",
            Action::Record { step, .. } => step,
        }
    }

    fn apply<'c>(
        &'c self,
        tx: &'c mut PgConnection,
        commands: &'c [Command],
    ) -> BoxFuture<'c, sqlx::Result<Vec<Self::Outcome>>> {
        async move {
            let mut batch = Batch::load(tx, commands).await?;
            let outcomes = commands.iter().map(|command| batch.carry_out(command)).collect();
            batch.save(tx, self.settle_after).await?;
            Ok(outcomes)
        }
        .boxed()
    }

    fn committed(&self, _: &[Command], outcomes: &[Self::Outcome]) {
        outcomes.iter().flatten().filter_map(|done| done.fact.as_ref()).for_each(metrics::count);
    }
}

/// Everything that the commands of one transaction touch, under lock.
struct Batch {
    payments: HashMap<Uuid, Option<Payment>>,
    now: OffsetDateTime,
    seen: HashMap<Key, Seen>,
    /// Those that have a row, which is under lock.
    locked: HashSet<Uuid>,
    /// The refunds that were pending before.
    pending: HashSet<Uuid>,
    changed: BTreeSet<Uuid>,
    recorded: Vec<(Key, Seen)>,
    entries: Vec<Entry>,
    events: Vec<(Uuid, i32, Event)>,
}

impl Batch {
    async fn load(tx: &mut PgConnection, commands: &[Command]) -> sqlx::Result<Self> {
        let all: BTreeSet<Uuid> = commands.iter().map(|it| it.payment_id).collect();
        let mut locked = payments::lock(tx, &Vec::from_iter(all)).await?;
        let taken = locked.payments.values_mut().filter(|it| it.captured > it.refunded);
        let taken: BTreeMap<Uuid, &mut Payment> = taken.map(|it| (it.id, it)).collect();
        let ids: Vec<Uuid> = taken.keys().copied().collect();
        let mut pending = refunds::pending(tx, &ids).await?;
        let known = pending.values().flatten().map(|refund| refund.id).collect();
        for (id, payment) in taken {
            payment.pending = pending.remove(&id).unwrap_or_default();
        }
        let keys: Vec<Key> = commands.iter().filter_map(|it| Some(it.request()?.0)).collect();
        Ok(Self {
            locked: locked.payments.keys().copied().collect(),
            payments: locked.payments.into_iter().map(|(id, it)| (id, Some(it))).collect(),
            now: locked.now,
            seen: requests::find(tx, &keys).await?,
            pending: known,
            changed: BTreeSet::new(),
            recorded: Vec::new(),
            entries: Vec::new(),
            events: Vec::new(),
        })
    }

    fn carry_out(&mut self, command: &Command) -> Result<Done, Refusal> {
        let id = command.payment_id;
        let request = command.request();
        let seen = request.and_then(|(key, _)| self.seen.get(&key));
        if let (Some((_, digest)), Some(seen)) = (request, seen)
            && seen.digest != digest
        {
            return Err(Refusal::ContentDiffers);
        }
        let repeated = seen.is_some();
        let before = self.payments.get(&id).cloned().flatten();
        let fact = self.decide(command, repeated)?;
        if let (Some((key, digest)), false) = (request, repeated) {
            let seen = Seen { digest, thing: id, version: 0 };
            self.seen.insert(key, seen);
            self.recorded.push((key, seen));
        }
        let payment = self.payments.get_mut(&id).and_then(Option::as_mut);
        let payment = payment.ok_or(Refusal::NotFound)?;
        if before.as_ref() != Some(payment) {
            payment.update_time = self.now;
            self.changed.insert(id);
        }
        Ok(Done { payment: payment.clone(), fact })
    }

    fn decide(&mut self, command: &Command, repeated: bool) -> Result<Option<Fact>, Refusal> {
        let id = command.payment_id;
        let slot = self.payments.entry(id).or_default();
        match &command.action {
            Action::Authorize { terms, card_token } => {
                Payment::authorize(slot, id, terms, card_token, self.now)?;
            }
            Action::Undo { .. } => Payment::undo(slot, id, self.now),
            Action::Capture { key, part, .. } => {
                slot.as_mut().ok_or(Refusal::NotFound)?.capture(*key, *part)?;
            }
            Action::Refund { .. } if repeated => {}
            Action::Refund { key, amount, .. } => {
                slot.as_mut().ok_or(Refusal::NotFound)?.refund(*key, *amount)?;
            }
            Action::Record { answer, .. } => return self.record(command, answer),
        }
        Ok(None)
    }

    /// What the answer makes known, if it is news.
    fn record(&mut self, command: &Command, answer: &Answer) -> Result<Option<Fact>, Refusal> {
        let payment = self.payments.get_mut(&command.payment_id).and_then(Option::as_mut);
        let payment = payment.ok_or(Refusal::NotFound)?;
        let Some(fact) = payment.record(answer) else { return Ok(None) };
        let (payment_id, version) = (payment.id, payment.version);
        let event = Event { meta: command.meta.clone(), ..events::event(payment, &fact) };
        self.events.push((payment_id, version, event));
        let create_time = self.now;
        let entry = |posting| Entry { payment_id, version, posting, create_time };
        self.entries.extend(postings(&fact).into_iter().map(entry));
        Ok(Some(fact))
    }

    async fn save(&self, tx: &mut PgConnection, settle_after: Duration) -> sqlx::Result<()> {
        let payment = |id: &Uuid| self.payments.get(id).and_then(Option::as_ref);
        let changed: Vec<&Payment> = self.changed.iter().filter_map(payment).collect();
        // What moved belongs to a payment that changed.
        let is_new = |payment: &Payment| !self.locked.contains(&payment.id);
        payments::save(tx, &changed, is_new, &self.entries, settle_after).await?;
        let of = |it: &Payment| it.pending.iter().map(|refund| (it.id, *refund)).collect();
        let open =
            self.payments.values().flatten().flat_map(|it| -> Vec<(Uuid, Refund)> { of(it) });
        let open: HashMap<Uuid, (Uuid, Refund)> = open.map(|it| (it.1.id, it)).collect();
        let new = open.values().filter(|(_, refund)| !self.pending.contains(&refund.id));
        refunds::insert(tx, &new.copied().collect::<Vec<_>>()).await?;
        let done = self.pending.iter().filter(|id| !open.contains_key(id));
        refunds::finish(tx, &done.copied().collect::<Vec<_>>()).await?;
        mesh_log::conclude(tx, &self.recorded, &self.events).await
    }
}
