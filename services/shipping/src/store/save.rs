//! Writes a batch.

use mesh_log::Traced as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Row;

const SAVE: &str = "
WITH c AS MATERIALIZED (
  SELECT *
  FROM unnest($1::uuid[], $2::bytea[], $3::uuid[], $4::text[], $5::int[],
              $6::timestamptz[], $7::timestamptz[], $8::timestamptz[], $17::text[],
              $18::int[], $19::text[], $20::text[], $21::bigint[], $22::uuid[], $16::bool[])
       AS c(id, digest, order_id, state, version, released_at, dispatched_at, ended_at,
            speed, weight_grams, zone, currency, price_minor, customer_id, new)
), made AS (
  INSERT INTO shipments
    (id, digest, order_id, state, version, released_at, dispatched_at, ended_at, speed,
     weight_grams, zone, currency, price_minor, customer_id)
  SELECT id, digest, order_id, state, version, released_at, dispatched_at, ended_at, speed,
         weight_grams, zone, currency, price_minor, customer_id
  FROM c WHERE new ORDER BY id
), addressed AS (
  INSERT INTO shipment_addresses
    (shipment_id, recipient, lines, city, postal_code, country_code)
  SELECT * FROM unnest($9::uuid[], $10::text[], $11::text[], $12::text[], $13::text[],
                       $14::text[])
), forgotten AS (
  DELETE FROM shipment_addresses WHERE shipment_id = ANY($15)
)
UPDATE shipments AS s
SET digest = c.digest, order_id = c.order_id, state = c.state, version = c.version,
    released_at = c.released_at, dispatched_at = c.dispatched_at, ended_at = c.ended_at,
    speed = c.speed, weight_grams = c.weight_grams, zone = c.zone,
    currency = c.currency, price_minor = c.price_minor
FROM c
WHERE s.id = c.id AND NOT c.new";

/// Writes shipments that were changed and their addresses, and deletes the addresses that nobody
/// needs any more: one statement, none if there is nothing to write. `is_new` tells those that had no
/// row to lock from those that are under lock.
///
/// Fails with a unique violation if another transaction made one of the new ones meanwhile; whoever
/// tries again finds it.
pub async fn save(
    tx: &mut PgConnection,
    changed: &[&Row],
    is_new: impl Fn(Uuid) -> bool,
) -> sqlx::Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    let addressed: Vec<_> = (changed.iter())
        .filter(|row| !row.shipment.has_ended())
        .filter_map(|row| row.address.as_ref().map(|address| (row.shipment.id, address)))
        .collect();
    let ended: Vec<_> = (changed.iter())
        .filter(|row| row.shipment.has_ended())
        .map(|row| row.shipment.id)
        .collect();
    sqlx::query(SAVE)
        .bind(column(changed, |row| row.shipment.id))
        .bind(column(changed, |row| row.digest.map(Vec::from)))
        .bind(column(changed, |row| row.shipment.order_id))
        .bind(column(changed, |row| row.shipment.state.as_str()))
        .bind(column(changed, |row| row.shipment.version))
        .bind(column(changed, |row| row.shipment.released))
        .bind(column(changed, |row| row.shipment.dispatched))
        .bind(column(changed, |row| row.shipment.ended))
        .bind(column(&addressed, |(id, _)| *id))
        .bind(column(&addressed, |(_, address)| address.recipient.as_str()))
        .bind(column(&addressed, |(_, address)| address.lines.join("\n")))
        .bind(column(&addressed, |(_, address)| address.city.as_str()))
        .bind(column(&addressed, |(_, address)| address.postal_code.as_str()))
        .bind(column(&addressed, |(_, address)| address.country.as_str()))
        .bind(ended)
        .bind(column(changed, |row| is_new(row.shipment.id)))
        .bind(column(changed, |row| row.shipment.terms.map(|terms| terms.parcel.speed.as_str())))
        .bind(column(changed, |row| row.shipment.terms.map(|terms| terms.parcel.grams)))
        .bind(column(changed, |row| row.shipment.terms.map(|terms| terms.zone.as_str())))
        .bind(column(changed, |row| row.shipment.terms.map(|terms| terms.price.currency.as_str())))
        .bind(column(changed, |row| row.shipment.terms.map(|terms| terms.price.minor)))
        .bind(column(changed, |row| row.shipment.customer_id))
        .execute(tx)
        .traced("UPDATE shipments")
        .await?;
    Ok(())
}

fn column<'r, R, T>(rows: &'r [R], value: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
