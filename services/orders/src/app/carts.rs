//! Changes of carts. Those that come at the same time share a transaction.

use std::collections::{BTreeSet, HashMap};

use futures::{FutureExt as _, future::BoxFuture};
use mesh_log::{
    Work,
    requests::{self, Key, Seen},
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Error;
use crate::{
    domain::{Cart, CartChange, CartLine},
    store::{
        CartDone, CartOnce, LockedCart, carts_once, drop_unused_carts, lock_carts, save_carts,
    },
};

/// Asks for a cart to be changed.
pub struct ChangeCart {
    pub customer: Uuid,
    pub wish: Wish,
    /// The version that the caller knows, if that matters to them.
    pub seen: Option<i64>,
    pub key: Key,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
}

/// What is to become of the cart.
pub enum Wish {
    Change(CartChange),
    /// Another cart, at the version that the caller knows, is poured into it.
    Merge {
        source: Uuid,
        seen: Option<i64>,
    },
}

impl ChangeCart {
    fn customers(&self) -> impl Iterator<Item = Uuid> {
        let source = match &self.wish {
            Wish::Merge { source, .. } => Some(*source),
            Wish::Change(_) => None,
        };
        [self.customer].into_iter().chain(source)
    }

    /// The lines after the command, if it says so itself.
    fn own_lines(&self) -> Option<&[CartLine]> {
        match &self.wish {
            Wish::Change(CartChange::Set(lines)) => Some(lines),
            Wish::Change(CartChange::Clear) => Some(&[]),
            Wish::Change(_) | Wish::Merge { .. } => None,
        }
    }
}

/// A cart after a change, and when it was changed.
pub struct CartAnswer {
    pub cart: Cart,
    pub changed: OffsetDateTime,
}

/// The work of the one writer of this service's carts.
pub struct Carts;

impl Work for Carts {
    type Command = ChangeCart;
    type Outcome = Result<CartAnswer, Error>;

    fn label(command: &ChangeCart) -> &'static str {
        match &command.wish {
            Wish::Change(CartChange::Set(_)) => "set_cart_lines",
            Wish::Change(CartChange::Add(_)) => "add_cart_line",
            Wish::Change(CartChange::Change(_)) => "change_cart_line",
            Wish::Change(CartChange::Remove(_)) => "remove_cart_line",
            Wish::Change(CartChange::Clear) => "clear_cart",
            Wish::Merge { .. } => "merge_carts",
        }
    }

    fn apply<'c>(
        &'c self,
        tx: &'c mut PgConnection,
        commands: &'c [ChangeCart],
    ) -> BoxFuture<'c, sqlx::Result<Vec<Self::Outcome>>> {
        apply(tx, commands).boxed()
    }
}

async fn apply(
    tx: &mut PgConnection,
    commands: &[ChangeCart],
) -> sqlx::Result<Vec<Result<CartAnswer, Error>>> {
    let customers: BTreeSet<_> = commands.iter().flat_map(ChangeCart::customers).collect();
    let customers: Vec<_> = customers.into_iter().collect();
    let carts = lock_carts(tx, &customers).await?;
    let keys: Vec<_> = commands.iter().map(|command| command.key).collect();
    let seen = requests::find(tx, &keys).await?;
    let repeated: Vec<_> = seen.keys().copied().collect();
    let once = carts_once(tx, &repeated).await?;

    let mut round = Round { carts, seen, once, changed: BTreeSet::new(), done: Vec::new() };
    let outcomes = commands.iter().map(|command| round.carry_out(command)).collect();

    let Round { carts, changed, mut done, .. } = round;
    let (changed, others): (Vec<_>, Vec<_>) =
        carts.values().map(|l| &l.cart).partition(|cart| changed.contains(&cart.customer));
    done.sort_unstable_by_key(|done| done.key);
    save_carts(tx, &changed, &done).await?;
    drop_unused_carts(tx, &others).await?;
    Ok(outcomes)
}

/// What one batch knows, and what it has done so far.
struct Round {
    carts: HashMap<Uuid, LockedCart>,
    seen: HashMap<Key, Seen>,
    /// What repeated commands answered the first time.
    once: HashMap<Key, CartOnce>,
    changed: BTreeSet<Uuid>,
    done: Vec<CartDone>,
}

impl Round {
    fn carry_out(&mut self, command: &ChangeCart) -> Result<CartAnswer, Error> {
        match self.seen.get(&command.key).copied() {
            Some(seen) if seen.digest != command.digest => Err(Error::ContentDiffers),
            Some(seen) => self.again(command, seen),
            None => self.change(command),
        }
    }

    /// The first answer, rebuilt.
    fn again(&self, command: &ChangeCart, seen: Seen) -> Result<CartAnswer, Error> {
        let once = self.once.get(&command.key).ok_or(Error::Unreadable)?;
        let lines = once.lines.as_deref().or_else(|| command.own_lines());
        let cart = Cart {
            customer: command.customer,
            version: seen.version.into(),
            lines: lines.ok_or(Error::Unreadable)?.to_vec(),
            taken_by: None,
        };
        Ok(CartAnswer { cart, changed: once.at })
    }

    fn change(&mut self, command: &ChangeCart) -> Result<CartAnswer, Error> {
        let LockedCart { mut cart, now } = self.cart(command.customer)?;
        match &command.wish {
            Wish::Change(change) => cart.change(change, command.seen)?,
            Wish::Merge { source, seen } => {
                let mut source = self.cart(*source)?.cart;
                cart.merge(&mut source, command.seen, *seen)?;
                self.keep(source);
            }
        }
        self.keep(cart.clone());
        self.remember(command, &cart, now);
        Ok(CartAnswer { cart, changed: now })
    }

    fn cart(&self, customer: Uuid) -> Result<LockedCart, Error> {
        self.carts.get(&customer).cloned().ok_or(Error::Unreadable)
    }

    fn keep(&mut self, cart: Cart) {
        let customer = cart.customer;
        self.changed.insert(customer);
        if let Some(locked) = self.carts.get_mut(&customer) {
            locked.cart = cart;
        }
    }

    /// Remembers the answer for a repeat, in this batch or ever after.
    fn remember(&mut self, command: &ChangeCart, cart: &Cart, at: OffsetDateTime) {
        let version = i32::try_from(cart.version).unwrap_or(i32::MAX);
        let seen = Seen { digest: command.digest, thing: command.customer, version };
        let lines = command.own_lines().is_none().then(|| cart.lines.clone());
        self.seen.insert(command.key, seen);
        self.once.insert(command.key, CartOnce { lines: lines.clone(), at });
        self.done.push(CartDone { key: command.key, seen, lines });
    }
}
