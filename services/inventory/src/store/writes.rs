use std::collections::HashSet;

use mesh_log::Traced as _;
use sqlx::{PgConnection, Postgres, postgres::PgArguments, query::Query};
use uuid::Uuid;

use crate::domain::{Adjustment, Cause, Delivery, Movement, Reservation, Stock, Writes};

/// All rows are locked already, but for the reservations that are new. Lists inside a row travel as
/// text: unnest would flatten an array of arrays.
const WRITE: &str = "
WITH stock_changed AS (
    UPDATE stock AS s
    SET supplier = n.supplier, on_hand = n.on_hand, reserved = n.reserved,
        committed = n.committed, shipped = n.shipped, lost = n.lost, version = n.version,
        threshold = n.threshold, threshold_version = n.threshold_version, told = n.told
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                $7::bigint[], $8::int[], $9::bigint[], $10::int[], $11::int[])
         AS n (sku, supplier, on_hand, reserved, committed, shipped, lost, version,
               threshold, threshold_version, told)
    WHERE s.sku = n.sku
), reservation AS MATERIALIZED (
    SELECT n.id, n.order_id, n.digest, n.expire_time, string_to_array(n.skus, ',') AS skus,
        string_to_array(n.quantities, ',')::bigint[] AS quantities,
        string_to_array(n.states, ',') AS states, n.new
    FROM unnest($12::uuid[], $13::uuid[], $14::bytea[], $15::timestamptz[], $16::text[],
                $17::text[], $18::text[], $19::bool[])
         AS n (id, order_id, digest, expire_time, skus, quantities, states, new)
), reservations_made AS (
    INSERT INTO reservations (id, order_id, digest, expire_time, skus, quantities, states)
    SELECT id, order_id, digest, expire_time, skus, quantities, states
    FROM reservation WHERE new ORDER BY id
), reservations_changed AS (
    UPDATE reservations AS r
    SET order_id = n.order_id, digest = n.digest, expire_time = n.expire_time,
        skus = n.skus, quantities = n.quantities, states = n.states
    FROM reservation AS n
    WHERE r.id = n.id AND NOT n.new
)
INSERT INTO movements (sku, from_bucket, to_bucket, quantity, reservation_id, order_id,
                       delivery_id, adjustment_id)
SELECT * FROM unnest($20::text[], $21::text[], $22::text[], $23::bigint[], $24::uuid[],
                     $25::uuid[], $26::uuid[], $27::uuid[])";

/// Writes what a batch changed, in one statement. Reservations in `fresh` have no row to lock.
///
/// Fails with a unique violation if another transaction made one of those meanwhile; whoever tries
/// again finds it.
pub async fn write(
    tx: &mut PgConnection,
    writes: &Writes,
    fresh: &HashSet<Uuid>,
) -> sqlx::Result<()> {
    let query = bind_stock(sqlx::query(WRITE), &writes.stock);
    let query = query.bind(column(&writes.stock, |stock| stock.told));
    let query = bind_reservations(query, &writes.reservations);
    let query = query.bind(column(&writes.reservations, |it| fresh.contains(&it.id)));
    bind_movements(query, &writes.movements).execute(&mut *tx).traced("UPDATE stock").await?;
    insert_deliveries(tx, &writes.deliveries).await?;
    insert_adjustments(tx, &writes.adjustments).await
}

/// Deletes the rows that were kept free for what was then refused.
pub async fn drop_unused(tx: &mut PgConnection, writes: &Writes) -> sqlx::Result<()> {
    if writes.unused_skus.is_empty() {
        return Ok(());
    }
    sqlx::query("DELETE FROM stock WHERE sku = ANY($1) AND version = 0")
        .bind(column(&writes.unused_skus, |sku| sku.as_str()))
        .execute(tx)
        .traced("DELETE stock")
        .await?;
    Ok(())
}

async fn insert_deliveries(tx: &mut PgConnection, deliveries: &[Delivery]) -> sqlx::Result<()> {
    if deliveries.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(
        "INSERT INTO deliveries (sku, supplier, on_hand, reserved, committed, shipped, lost,
                                 version, threshold, threshold_version, id, digest, quantity)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                              $6::bigint[], $7::bigint[], $8::int[], $9::bigint[], $10::int[],
                              $11::uuid[], $12::bytea[], $13::bigint[])",
    );
    bind_stock(query, &column(deliveries, |delivery| delivery.stock.clone()))
        .bind(column(deliveries, |delivery| delivery.id))
        .bind(column(deliveries, |delivery| delivery.digest.to_vec()))
        .bind(column(deliveries, |delivery| delivery.quantity))
        .execute(tx)
        .traced("INSERT deliveries")
        .await?;
    Ok(())
}

async fn insert_adjustments(tx: &mut PgConnection, adjustments: &[Adjustment]) -> sqlx::Result<()> {
    if adjustments.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(
        "INSERT INTO adjustments (sku, supplier, on_hand, reserved, committed, shipped, lost,
                                  version, threshold, threshold_version, id, digest, quantity,
                                  reason, note)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                              $6::bigint[], $7::bigint[], $8::int[], $9::bigint[], $10::int[],
                              $11::uuid[], $12::bytea[], $13::bigint[], $14::text[], $15::text[])",
    );
    bind_stock(query, &column(adjustments, |adjustment| adjustment.stock.clone()))
        .bind(column(adjustments, |adjustment| adjustment.id))
        .bind(column(adjustments, |adjustment| adjustment.digest.to_vec()))
        .bind(column(adjustments, |adjustment| adjustment.quantity))
        .bind(column(adjustments, |adjustment| adjustment.reason.as_str()))
        .bind(column(adjustments, |adjustment| adjustment.note.clone()))
        .execute(tx)
        .traced("INSERT adjustments")
        .await?;
    Ok(())
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

fn bind_stock<'q>(query: Statement<'q>, stock: &[Stock]) -> Statement<'q> {
    query
        .bind(column(stock, |stock| stock.sku.as_str().to_owned()))
        .bind(column(stock, |stock| stock.supplier))
        .bind(column(stock, |stock| stock.on_hand))
        .bind(column(stock, |stock| stock.reserved))
        .bind(column(stock, |stock| stock.committed))
        .bind(column(stock, |stock| stock.shipped))
        .bind(column(stock, |stock| stock.lost))
        .bind(column(stock, |stock| stock.version))
        .bind(column(stock, |stock| stock.threshold))
        .bind(column(stock, |stock| stock.threshold_version))
}

fn bind_reservations<'q>(query: Statement<'q>, reservations: &[Reservation]) -> Statement<'q> {
    let origin = |reservation: &Reservation| reservation.origin.clone();
    query
        .bind(column(reservations, |reservation| reservation.id))
        .bind(column(reservations, Reservation::order_id))
        .bind(column(reservations, |r| origin(r).map(|origin| origin.digest.to_vec())))
        .bind(column(reservations, |r| origin(r).map(|origin| origin.expires_at)))
        .bind(column(reservations, |r| list(&r.lines, |line| line.sku.to_string())))
        .bind(column(reservations, |r| list(&r.lines, |line| line.quantity.to_string())))
        .bind(column(reservations, |r| list(&r.states, |state| state.as_str().to_owned())))
}

fn bind_movements<'q>(query: Statement<'q>, movements: &[Movement]) -> Statement<'q> {
    query
        .bind(column(movements, |movement| movement.sku.as_str().to_owned()))
        .bind(column(movements, |movement| movement.from.as_str()))
        .bind(column(movements, |movement| movement.to.as_str()))
        .bind(column(movements, |movement| movement.quantity))
        .bind(column(movements, |movement| reservation(movement.cause)))
        .bind(column(movements, |movement| order(movement.cause)))
        .bind(column(movements, |movement| delivery(movement.cause)))
        .bind(column(movements, |movement| adjustment(movement.cause)))
}

fn reservation(cause: Cause) -> Option<Uuid> {
    if let Cause::Reservation { id, .. } = cause { Some(id) } else { None }
}

fn order(cause: Cause) -> Option<Uuid> {
    if let Cause::Reservation { order_id, .. } = cause { order_id } else { None }
}

fn delivery(cause: Cause) -> Option<Uuid> {
    if let Cause::Delivery(id) = cause { Some(id) } else { None }
}

fn adjustment(cause: Cause) -> Option<Uuid> {
    if let Cause::Adjustment(id) = cause { Some(id) } else { None }
}

fn column<'a, R, C>(rows: &'a [R], value: impl Fn(&'a R) -> C) -> Vec<C> {
    rows.iter().map(value).collect()
}

/// Joins by a comma, which no SKU, number or state contains.
fn list<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(",")
}
