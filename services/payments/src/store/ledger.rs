//! The ledger's rows.

use mesh_log::{Pool, Traced as _};
use shop::money::{Currency, Money};
use sqlx::{Row as _, postgres::PgRow};
use uuid::Uuid;

use super::undecodable;
use crate::domain::{Account, EntriesPage, Entry, Posting};

const ACCOUNTS: [(Account, &str); 3] =
    [(Account::Customer, "customer"), (Account::Held, "held"), (Account::Shop, "shop")];

/// The entries of a page, and one more if the list goes on behind it.
pub async fn list(db: &Pool, page: &EntriesPage) -> sqlx::Result<Vec<Entry>> {
    let first = (page.payment_id.unwrap_or_else(Uuid::nil), -1, "");
    let after =
        page.after.map(|(payment, version, account)| (payment, version, account_name(account)));
    let (payment, version, account) = after.unwrap_or(first);
    let mut reading = db.read().await?;
    let rows = sqlx::query(
        "SELECT payment_id, version, account, currency, amount_minor, create_time
         FROM ledger_entries
         WHERE (payment_id, version, account) > ($1, $2, $3) AND payment_id <= $4
           AND ($5::text IS NULL OR account = $5)
         ORDER BY payment_id, version, account
         LIMIT $6",
    )
    .bind(payment)
    .bind(version)
    .bind(account)
    .bind(page.payment_id.unwrap_or_else(Uuid::max))
    .bind(page.account.map(account_name))
    .bind(i64::try_from(page.size + 1).unwrap_or(i64::MAX))
    .fetch_all(&mut *reading)
    .traced("SELECT ledger_entries")
    .await?;
    rows.iter().map(entry).collect()
}

fn entry(row: &PgRow) -> sqlx::Result<Entry> {
    let name: &str = row.try_get("account")?;
    let account = ACCOUNTS.iter().find(|(_, known)| *known == name);
    let (account, _) = account.ok_or_else(|| undecodable("ledger_entries.account"))?;
    let currency = Currency::parse(row.try_get("currency")?);
    let currency = currency.ok_or_else(|| undecodable("ledger_entries.currency"))?;
    let amount = Money::new(currency, row.try_get("amount_minor")?);
    Ok(Entry {
        payment_id: row.try_get("payment_id")?,
        version: row.try_get("version")?,
        posting: Posting { account: *account, amount },
        create_time: row.try_get("create_time")?,
    })
}

/// What the table calls an account.
pub(super) fn account_name(account: Account) -> &'static str {
    let (_, name) = ACCOUNTS.iter().find(|(it, _)| *it == account).expect("every one is named");
    name
}
