//! Reads everything, in an order that makes what was read comparable: what is written first is
//! read last.

mod broker;
mod database;
mod inventory;
mod messages;
mod money;
mod orders;

use super::facts::{Facts, Orders};
use super::{Options, Unreadable};
pub use database::Databases;

/// Reads all facts of one round.
pub async fn all(
    databases: &Databases,
    nats: &str,
    options: &Options,
) -> Result<Facts, Unreadable> {
    let first = orders::rows(&databases.orders).await?;
    // A charge is made after its payment was meant, so a payment is known for every charge.
    let charges = money::charges(&databases.processor).await?;
    let (payments, ledger) = money::payments(&databases.payments).await?;
    let mut facts = Facts { charges, payments, ledger, ..Facts::default() };
    inventory::read(&databases.inventory, &mut facts).await?;
    messages::read(databases, nats, options, &mut facts).await?;
    let last = orders::last(&databases.orders).await?;
    facts.orders = Orders::between(&first, last.rows);
    (facts.stories, facts.torn, facts.view) = (last.stories, last.torn, last.view);
    Ok(facts)
}
