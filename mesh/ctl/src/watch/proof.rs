//! The audit of one order: what every database says about it.

use anyhow::{Context as _, Result};
use serde::Serialize;
use shop::money::{Currency, Money};
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, FromRow, PgConnection};
use uuid::Uuid;

use crate::audit::Places;

/// What one service says about the order, and whether it is right.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Who says it.
    pub service: &'static str,
    /// What it says.
    pub says: String,
    /// Whether that is as it should be.
    pub right: bool,
}

/// An order as the service that took it shows it to auditors.
#[derive(FromRow)]
struct Order {
    state: String,
    currency: String,
    total_minor: i64,
}

#[derive(FromRow)]
struct Amounts {
    key: Uuid,
    authorized_minor: i64,
    captured_minor: i64,
    refunded_minor: i64,
}

#[derive(FromRow)]
struct Held {
    sku: String,
    bucket: String,
    quantity: i64,
}

/// Asks every database about the order, for which these pieces were ordered.
pub(super) async fn proofs(
    places: &Places,
    order: Uuid,
    lines: &[(String, i64)],
) -> Result<Vec<Proof>> {
    let mut proofs = Vec::new();
    let bought: Vec<Order> = ask(
        &places.orders,
        "SELECT state, currency, total_minor FROM audit_orders WHERE order_id = $1",
        order,
    )
    .await?;
    let bought = bought.into_iter().next().context("the order is in no database")?;
    proofs.push(Proof {
        service: "orders",
        says: format!("{}, {}", bought.state, money(bought.total_minor, &bought.currency)),
        right: ["CONFIRMED", "SHIPPED", "DELIVERED"].contains(&bought.state.as_str()),
    });
    let payments: Vec<Amounts> = ask(
        &places.payments,
        "SELECT key, authorized_minor, captured_minor, refunded_minor FROM audit_payments
         WHERE order_id = $1",
        order,
    )
    .await?;
    proofs.push(paid("payments", "payment", &payments, &bought));
    let key = payments.first().map_or(order, |payment| payment.key);
    let charges: Vec<Amounts> = ask(
        &places.processor,
        "SELECT key, authorized_minor, captured_minor, refunded_minor FROM audit_charges
         WHERE key = $1",
        key,
    )
    .await?;
    proofs.push(paid("processor", "charge", &charges, &bought));
    let held: Vec<Held> = ask(
        &places.inventory,
        "SELECT sku, bucket, quantity FROM audit_reservations WHERE order_id = $1 ORDER BY sku",
        order,
    )
    .await?;
    proofs.push(sold(held, lines));
    let parcels: Vec<(String,)> =
        ask(&places.shipping, "SELECT state FROM shipments WHERE order_id = $1", order).await?;
    let states: Vec<String> = parcels.into_iter().map(|(state,)| state).collect();
    proofs.push(Proof {
        service: "shipping",
        says: format!("{}: {}", counted(states.len(), "parcel"), states.join(", ")),
        right: states.len() == 1 && states[0] != "CANCELLED" && states[0] != "HELD",
    });
    Ok(proofs)
}

fn paid(service: &'static str, what: &str, found: &[Amounts], order: &Order) -> Proof {
    let sum = |amount: fn(&Amounts) -> i64| found.iter().map(amount).sum::<i64>();
    let (open, captured) = (sum(|it| it.authorized_minor), sum(|it| it.captured_minor));
    let refunded = sum(|it| it.refunded_minor);
    let captured_text = money(captured, &order.currency);
    Proof {
        service,
        says: format!("{}: {captured_text} captured", counted(found.len(), what)),
        right: (found.len(), open, captured, refunded) == (1, 0, order.total_minor, 0),
    }
}

fn sold(held: Vec<Held>, lines: &[(String, i64)]) -> Proof {
    let is_sold = held.iter().all(|it| ["committed", "shipped"].contains(&it.bucket.as_str()));
    let texts: Vec<String> =
        held.iter().map(|it| format!("{} × {} {}", it.quantity, it.sku, it.bucket)).collect();
    let mut lines = lines.to_vec();
    lines.sort();
    let mut pieces: Vec<_> = held.into_iter().map(|it| (it.sku, it.quantity)).collect();
    pieces.sort();
    Proof { service: "inventory", says: texts.join(", "), right: is_sold && pieces == lines }
}

async fn ask<T>(url: &str, query: &'static str, id: Uuid) -> Result<Vec<T>>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let mut connection = PgConnection::connect(url).await?;
    let rows = sqlx::query_as(query).bind(id).fetch_all(&mut connection).await?;
    connection.close().await?;
    Ok(rows)
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn money(minor: i64, currency: &str) -> String {
    match Currency::parse(currency) {
        Some(currency) => Money::new(currency, minor).to_string(),
        None => minor.to_string(),
    }
}
