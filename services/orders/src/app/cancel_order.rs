//! Gives an order up.

use futures::FutureExt as _;
use mesh_log::{Outcome, SubmitError, requests};

use super::{Error, Orders, Shown, Wanted, get_order};
use crate::{
    checkout,
    store::{RequestSeen, decode},
};

/// How often a change that others overtook is decided anew.
const ATTEMPTS: usize = 16;

/// Asks for an order to be given up.
pub struct CancelOrder {
    pub wanted: Wanted,
    pub key: requests::Key,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
}

/// Records that an order is given up; the checkout then turns back.
pub async fn cancel_order(orders: &Orders, command: CancelOrder) -> Result<Shown, Error> {
    let id = command.wanted.order;
    tracing::Span::current().record("order_id", tracing::field::display(id));
    for _ in 0..ATTEMPTS {
        if let Some(shown) = earlier(orders, &command).await? {
            return Ok(shown);
        }
        let streams = orders.engine.streams();
        let stored = streams.load(id).await?.ok_or(Error::NotFound)?;
        let kept = decode(id, stored.version, &stored.state).ok_or(Error::Unreadable)?;
        command.wanted.check(&kept.order)?;
        let event = match kept.order.cancel() {
            Ok(Some(event)) => event,
            Ok(None) => match note(orders, &command, stored.version).await {
                // The same request came twice at once.
                Err(Error::NotDone(error)) if is_taken(&error) => continue,
                noted => {
                    noted?;
                    return get_order(orders, command.wanted, Some(stored.version)).await;
                }
            },
            // The same request may have been accepted since it was looked up.
            Err(refused) => return earlier(orders, &command).await?.ok_or_else(|| refused.into()),
        };
        let version = stored.version + 1;
        let request = RequestSeen { key: command.key.as_uuid(), digest: command.digest, version };
        let (kept, mut change) = checkout::change("cancel", &kept, &[event], Some(request));
        change.owner = orders.engine.owner();
        match streams.commit(change).await? {
            Outcome::Accepted(at) | Outcome::Already(at) => {
                tracing::info!(order_id = %id, "order cancel requested");
                let order = kept.order.clone();
                orders.engine.drive(id, kept);
                return Ok(Shown { order, created: stored.created_at, updated: at });
            }
            // The checkout moved on meanwhile, or the request came twice at once.
            Outcome::Conflict | Outcome::Refused(_) => (),
        }
    }
    Err(Error::Contended)
}

/// What an earlier call with the same request answered.
async fn earlier(orders: &Orders, command: &CancelOrder) -> Result<Option<Shown>, Error> {
    let mut connection = orders.db.pool().acquire().await?;
    let seen = requests::find(&mut connection, &[command.key]).await?;
    drop(connection);
    match seen.get(&command.key) {
        None => Ok(None),
        Some(seen) if seen.digest != command.digest => Err(Error::ContentDiffers),
        Some(seen) => get_order(orders, command.wanted, Some(seen.version)).await.map(Some),
    }
}

/// Remembers a request that found the order being given up already: its repeat is answered alike,
/// whatever has become of the order by then.
async fn note(orders: &Orders, command: &CancelOrder, version: i32) -> Result<(), Error> {
    let seen = requests::Seen { digest: command.digest, thing: command.wanted.order, version };
    let keys = [(command.key, seen)];
    mesh_log::transact(&orders.db, "cancel_again", move |tx| {
        async move { Ok(requests::record(tx, &keys).await?) }.boxed()
    })
    .await
}

fn is_taken(error: &SubmitError) -> bool {
    let SubmitError::Database(error) = error else { return false };
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}
