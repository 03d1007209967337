//! Changes of carts. Those that come at the same time share a transaction.

use std::collections::HashMap;

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
    domain::{Cart, CartLine},
    store::{LockedCart, changed_at, drop_unused_carts, lock_carts, save_carts},
};

/// Asks for a cart's lines to be replaced.
pub struct SetCartLines {
    pub customer: Uuid,
    pub lines: Vec<CartLine>,
    /// The version that the caller knows, if that matters to them.
    pub seen: Option<i64>,
    pub key: Key,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
}

/// A cart after a change, and when it was changed.
pub struct CartAnswer {
    pub cart: Cart,
    pub changed: OffsetDateTime,
}

/// The work of the one writer of this service's carts.
pub struct Carts;

impl Work for Carts {
    type Command = SetCartLines;
    type Outcome = Result<CartAnswer, Error>;

    fn label(_: &SetCartLines) -> &'static str {
        "set_cart_lines"
    }

    fn apply<'c>(
        &'c self,
        tx: &'c mut PgConnection,
        commands: &'c [SetCartLines],
    ) -> BoxFuture<'c, sqlx::Result<Vec<Self::Outcome>>> {
        apply(tx, commands).boxed()
    }
}

async fn apply(
    tx: &mut PgConnection,
    commands: &[SetCartLines],
) -> sqlx::Result<Vec<Result<CartAnswer, Error>>> {
    let mut customers: Vec<_> = commands.iter().map(|command| command.customer).collect();
    customers.sort_unstable();
    customers.dedup();
    let mut carts = lock_carts(tx, &customers).await?;
    let keys: Vec<_> = commands.iter().map(|command| command.key).collect();
    let mut seen = requests::find(tx, &keys).await?;
    let repeated: Vec<_> = seen.keys().copied().collect();
    let times = changed_at(tx, &repeated).await?;

    let mut done = HashMap::new();
    let mut outcomes = Vec::with_capacity(commands.len());
    for command in commands {
        let outcome = decide(command, &mut carts, &seen, &times);
        if let Ok((answer, true)) = &outcome {
            let version = i32::try_from(answer.cart.version).unwrap_or(i32::MAX);
            let key = Seen { digest: command.digest, thing: command.customer, version };
            seen.insert(command.key, key);
            done.insert(command.key, key);
        }
        outcomes.push(outcome.map(|(answer, _)| answer));
    }

    let changed: Vec<_> = done.values().map(|seen| seen.thing).collect();
    let (changed, others): (Vec<_>, Vec<_>) =
        carts.values().map(|l| &l.cart).partition(|cart| changed.contains(&cart.customer));
    let mut done: Vec<_> = done.into_iter().collect();
    done.sort_unstable_by_key(|(key, _)| *key);
    save_carts(tx, &changed, &done).await?;
    drop_unused_carts(tx, &others).await?;
    Ok(outcomes)
}

/// The cart after a command, and whether the command is new.
fn decide(
    command: &SetCartLines,
    carts: &mut HashMap<Uuid, LockedCart>,
    seen: &HashMap<Key, Seen>,
    times: &HashMap<Uuid, OffsetDateTime>,
) -> Result<(CartAnswer, bool), Error> {
    let locked = carts.get_mut(&command.customer).ok_or(Error::Unreadable)?;
    if let Some(seen) = seen.get(&command.key) {
        if seen.digest != command.digest {
            return Err(Error::ContentDiffers);
        }
        // The first answer, rebuilt: the lines are the request's own.
        let cart = Cart {
            customer: command.customer,
            version: seen.version.into(),
            lines: command.lines.clone(),
            taken_by: None,
        };
        let changed = times.get(&command.key.as_uuid()).copied().unwrap_or(locked.now);
        return Ok((CartAnswer { cart, changed }, false));
    }
    locked.cart.set(command.lines.clone(), command.seen)?;
    Ok((CartAnswer { cart: locked.cart.clone(), changed: locked.now }, true))
}
