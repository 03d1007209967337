//! Payments, their ledger, and the processor's charges.

use uuid::Uuid;

use super::super::Unreadable;
use super::super::facts::{Account, Amounts, Charge, Payment};
use super::database::Database;

pub async fn charges(database: &Database) -> Result<Vec<Charge>, Unreadable> {
    let query = sqlx::query_as::<_, (Uuid, String, i64, i64, i64)>(
        "SELECT key, currency, authorized_minor, captured_minor, refunded_minor
         FROM audit_charges",
    );
    let mut snapshot = database.snapshot().await?;
    let rows = snapshot.all("audit_charges", query).await?;
    snapshot.end().await;
    let charge = |(key, currency, authorized, captured, refunded)| Charge {
        key,
        currency,
        amounts: Amounts { authorized, captured, refunded },
    };
    Ok(rows.into_iter().map(charge).collect())
}

/// Payments and ledger, at one moment.
pub async fn payments(database: &Database) -> Result<(Vec<Payment>, Vec<Account>), Unreadable> {
    let mut snapshot = database.snapshot().await?;
    let query = sqlx::query_as::<_, (Uuid, Uuid, String, i64, i64, i64)>(
        "SELECT order_id, key, currency, authorized_minor, captured_minor, refunded_minor
         FROM audit_payments",
    );
    let payment = |(order, key, currency, authorized, captured, refunded)| Payment {
        order,
        key,
        currency,
        amounts: Amounts { authorized, captured, refunded },
    };
    let payments = snapshot.all("audit_payments", query).await?;
    let query = sqlx::query_as::<_, (String, String, String)>(
        "SELECT currency, account, amount_minor::text FROM audit_ledger",
    );
    let ledger = snapshot.all("audit_ledger", query).await?;
    snapshot.end().await;
    let account = |(currency, name, amount): (String, String, String)| match amount.parse() {
        Ok(amount) => Ok(Account { currency, name, amount }),
        Err(error) => Err(Unreadable::missing(format!("{amount} in audit_ledger"), error)),
    };
    let ledger = ledger.into_iter().map(account).collect::<Result<_, _>>()?;
    Ok((payments.into_iter().map(payment).collect(), ledger))
}
