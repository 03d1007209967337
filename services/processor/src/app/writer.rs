//! Commands on charges, many in one transaction: lock, decide, save.

use std::collections::{BTreeSet, HashMap, HashSet};

use futures::{FutureExt as _, future::BoxFuture};
use mesh_log::{
    Work,
    requests::{self, Key, Seen},
};
use shop::money::Money;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{Authorization, Behaviour, CardToken, Charge, Refusal},
    store::{cards, charges, lost_answers},
};

/// One request about one charge.
#[derive(Clone, Debug)]
pub struct Command {
    pub charge_id: Uuid,
    /// The request's key; the charge's id if it is what makes the charge.
    pub request_id: Uuid,
    pub digest: [u8; 16],
    pub action: Action,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Action {
    Authorize {
        card_token: CardToken,
        amount: Money,
    },
    /// Takes all that is reserved, or this part of it.
    Capture {
        part: Option<Money>,
    },
    Void,
    Refund {
        amount: Money,
    },
}

/// How the answer goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Prompt,
    Slow,
    Lost,
}

/// What became of a command.
pub struct Outcome {
    pub result: Result<Charge, Refusal>,
    pub manner: Manner,
}

impl Command {
    fn name(&self) -> &'static str {
        match self.action {
            Action::Authorize { .. } => "authorize",
            Action::Capture { .. } => "capture",
            Action::Void => "void",
            Action::Refund { .. } => "refund",
        }
    }

    /// The key under which it is remembered; an authorization is remembered by its charge.
    fn key(&self) -> Option<Key> {
        match self.action {
            Action::Authorize { .. } => None,
            _ => Some(Key::new(self.name(), "", self.request_id)),
        }
    }

    /// The name under which the sandbox remembers that it lost the first of these requests.
    fn lost_key(&self) -> Uuid {
        Uuid::new_v5(&self.request_id, self.name().as_bytes())
    }
}

/// Carries out commands on charges.
pub struct Writer;

impl Work for Writer {
    type Command = Command;
    type Outcome = Outcome;

    fn label(command: &Command) -> &'static str {
        command.name()
    }

    fn apply<'c>(
        &'c self,
        tx: &'c mut PgConnection,
        commands: &'c [Command],
    ) -> BoxFuture<'c, sqlx::Result<Vec<Outcome>>> {
        async move {
            let mut batch = Batch::load(tx, commands).await?;
            let outcomes = commands.iter().map(|command| batch.carry_out(command)).collect();
            batch.save(tx).await?;
            Ok(outcomes)
        }
        .boxed()
    }
}

/// Everything that the commands of one transaction touch, under lock.
struct Batch {
    charges: HashMap<Uuid, Option<Charge>>,
    /// Those that have a row, which is under lock.
    locked: HashSet<Uuid>,
    now: OffsetDateTime,
    cards: HashMap<String, Behaviour>,
    seen: HashMap<Key, Seen>,
    /// First requests of lossy cards, until their turn came.
    first: HashSet<Uuid>,
    changed: BTreeSet<Uuid>,
    recorded: Vec<(Key, Seen)>,
    refunds: Vec<(Uuid, Uuid, i64)>,
}

impl Batch {
    async fn load(tx: &mut PgConnection, commands: &[Command]) -> sqlx::Result<Self> {
        let ids: BTreeSet<Uuid> = commands.iter().map(|command| command.charge_id).collect();
        let locked = charges::lock(tx, &Vec::from_iter(ids)).await?;
        let keys: Vec<Key> = commands.iter().filter_map(Command::key).collect();
        let seen = requests::find(tx, &keys).await?;
        let mut batch = Self {
            locked: locked.charges.keys().copied().collect(),
            charges: locked.charges.into_iter().map(|(id, it)| (id, Some(it))).collect(),
            now: locked.now,
            cards: HashMap::new(),
            seen,
            first: HashSet::new(),
            changed: BTreeSet::new(),
            recorded: Vec::new(),
            refunds: Vec::new(),
        };
        let tokens: BTreeSet<&str> =
            commands.iter().filter_map(|command| batch.card_token(command)).collect();
        let tokens: Vec<&str> = tokens.into_iter().collect();
        let cards = cards::behaviours(tx, &tokens).await?;
        batch.cards = cards;
        let lossy = |command: &&Command| {
            let card = batch.card(command);
            matches!(card, Some(Behaviour::LoseFirstAnswers | Behaviour::LoseFirstRequests))
        };
        let lossy: Vec<Uuid> = commands.iter().filter(lossy).map(Command::lost_key).collect();
        batch.first = lost_answers::mark(tx, &lossy).await?;
        Ok(batch)
    }

    /// The token of the card that the command is about.
    fn card_token<'b>(&'b self, command: &'b Command) -> Option<&'b str> {
        match (&command.action, self.charges.get(&command.charge_id)) {
            (_, Some(Some(charge))) => charge.asked.as_ref().map(|it| it.card_token.expose()),
            (Action::Authorize { card_token, .. }, _) => Some(card_token.expose()),
            _ => None,
        }
    }

    fn card(&self, command: &Command) -> Option<Behaviour> {
        self.cards.get(self.card_token(command)?).copied()
    }

    fn carry_out(&mut self, command: &Command) -> Outcome {
        let card = self.card(command);
        let first = self.first.remove(&command.lost_key());
        if first && card == Some(Behaviour::LoseFirstRequests) {
            return Outcome { result: Err(Refusal::NotFound), manner: Manner::Lost };
        }
        let manner = match card {
            _ if first => Manner::Lost,
            Some(Behaviour::AnswerSlowly) => Manner::Slow,
            _ => Manner::Prompt,
        };
        Outcome { result: self.decide(command, card), manner }
    }

    fn decide(&mut self, command: &Command, card: Option<Behaviour>) -> Result<Charge, Refusal> {
        let key = command.key();
        let seen = key.and_then(|key| self.seen.get(&key));
        if seen.is_some_and(|seen| seen.digest != command.digest) {
            return Err(Refusal::ContentDiffers);
        }
        let repeated = seen.is_some();
        let slot = self.charges.entry(command.charge_id).or_default();
        if !repeated {
            // A refusal can change a charge too: one that was declined, the first refund.
            self.changed.insert(command.charge_id);
            act(slot, command, card, self.now)?;
        }
        let charge = slot.clone().ok_or(Refusal::NotFound)?;
        if let (Some(key), false) = (key, repeated) {
            let seen = Seen { digest: command.digest, thing: command.charge_id, version: 0 };
            self.seen.insert(key, seen);
            self.recorded.push((key, seen));
            if let Action::Refund { amount } = command.action {
                self.refunds.push((command.request_id, command.charge_id, amount.minor));
            }
        }
        Ok(charge)
    }

    async fn save(&self, tx: &mut PgConnection) -> sqlx::Result<()> {
        let charge = |id: &Uuid| self.charges.get(id).and_then(Option::as_ref);
        let changed: Vec<&Charge> = self.changed.iter().filter_map(charge).collect();
        charges::save(tx, &changed, |charge| !self.locked.contains(&charge.id)).await?;
        charges::insert_refunds(tx, &self.refunds).await?;
        requests::record(tx, &self.recorded).await
    }
}

fn act(
    slot: &mut Option<Charge>,
    command: &Command,
    card: Option<Behaviour>,
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    // A charge that was voided before it arrived has no card; it refuses all the same.
    let of_charge = card.unwrap_or(Behaviour::Approve);
    match &command.action {
        Action::Authorize { card_token, amount } => {
            let (digest, card_token) = (command.digest, card_token.clone());
            let asked = Authorization { digest, card_token, amount: *amount };
            Charge::authorize(slot, command.charge_id, &asked, card, now)
        }
        Action::Void => Charge::void(slot, command.charge_id, now),
        Action::Capture { part } => {
            slot.as_mut().ok_or(Refusal::NotFound)?.capture(*part, of_charge)
        }
        Action::Refund { amount } => {
            slot.as_mut().ok_or(Refusal::NotFound)?.refund(*amount, of_charge)
        }
    }
}
