//! Reads everything, in an order that makes what was read comparable: what is written first is
//! read last.

mod broker;
mod database;
mod inventory;
mod messages;
mod money;
mod orders;

use super::facts::{Facts, Orders};
use super::{Options, Places, Unreadable};

/// Reads all facts of one round.
pub async fn all(places: &Places, options: &Options) -> Result<Facts, Unreadable> {
    let first = orders::rows(&places.orders).await?;
    // A charge is made after its payment was meant, so a payment is known for every charge.
    let charges = money::charges(&places.processor).await?;
    let (payments, ledger) = money::payments(&places.payments).await?;
    let mut facts = Facts { charges, payments, ledger, ..Facts::default() };
    inventory::read(&places.inventory, &mut facts).await?;
    messages::read(places, options, &mut facts).await?;
    let last = orders::last(&places.orders).await?;
    facts.orders = Orders::between(&first, last.rows);
    (facts.stories, facts.torn) = (last.stories, last.torn);
    Ok(facts)
}
