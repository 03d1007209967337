//! Where parcels were. Whoever writes here holds the locks of the shipments.

use std::collections::HashMap;

use mesh_log::{Pool, Traced as _};
use sqlx::{FromRow as _, PgConnection, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::row::sixteen;
use crate::domain::{Place, Position, Shipment};

/// A position that is stored for the first time.
pub struct NewPosition<'p> {
    pub shipment_id: Uuid,
    /// Counts the shipment's positions from 1.
    pub number: i32,
    pub digest: [u8; 16],
    pub position: &'p Position,
}

/// Those of the positions (of a shipment, with an id) that are stored, with their digests.
pub async fn known_positions(
    tx: &mut PgConnection,
    wanted: &[(Uuid, Uuid)],
) -> sqlx::Result<HashMap<(Uuid, Uuid), [u8; 16]>> {
    let rows: Vec<(Uuid, Uuid, Vec<u8>)> = sqlx::query_as(
        "SELECT p.shipment_id, p.position_id, p.digest
         FROM unnest($1::uuid[], $2::uuid[]) AS w(shipment_id, position_id)
         JOIN shipment_positions p USING (shipment_id, position_id)",
    )
    .bind(wanted.iter().map(|(shipment, _)| *shipment).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(_, position)| *position).collect::<Vec<_>>())
    .fetch_all(tx)
    .traced("SELECT shipment_positions")
    .await?;
    rows.into_iter().map(|(shipment, id, digest)| Ok(((shipment, id), sixteen(&digest)?))).collect()
}

/// Stores positions, and how many the shipments have now: one statement, none if there are none.
pub async fn save_positions(
    tx: &mut PgConnection,
    new: &[NewPosition<'_>],
    shipments: &[&Shipment],
) -> sqlx::Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "WITH counted AS (
           UPDATE shipments AS s SET positions = c.positions
           FROM unnest($1::uuid[], $2::int[]) AS c(id, positions)
           WHERE s.id = c.id
         )
         INSERT INTO shipment_positions
           (shipment_id, number, position_id, digest, at, latitude, longitude, place)
         SELECT * FROM unnest($3::uuid[], $4::int[], $5::uuid[], $6::bytea[], $7::timestamptz[],
                              $8::float8[], $9::float8[], $10::text[])",
    )
    .bind(shipments.iter().map(|shipment| shipment.id).collect::<Vec<_>>())
    .bind(shipments.iter().map(|shipment| shipment.positions).collect::<Vec<_>>())
    .bind(new.iter().map(|new| new.shipment_id).collect::<Vec<_>>())
    .bind(new.iter().map(|new| new.number).collect::<Vec<_>>())
    .bind(new.iter().map(|new| new.position.id).collect::<Vec<_>>())
    .bind(new.iter().map(|new| new.digest.to_vec()).collect::<Vec<_>>())
    .bind(new.iter().map(|new| new.position.time).collect::<Vec<_>>())
    .bind(new.iter().map(|new| point(&new.position.place).map(|(lat, _)| lat)).collect::<Vec<_>>())
    .bind(new.iter().map(|new| point(&new.position.place).map(|(_, lon)| lon)).collect::<Vec<_>>())
    .bind(new.iter().map(|new| name(&new.position.place)).collect::<Vec<_>>())
    .execute(tx)
    .traced("INSERT shipment_positions")
    .await?;
    Ok(())
}

/// The positions of a shipment with numbers behind `after`, up to and with `last`, the first `limit`
/// of them.
pub async fn positions_after(
    db: &Pool,
    shipment: Uuid,
    after: i32,
    last: i32,
    limit: i64,
) -> sqlx::Result<Vec<(i32, Position)>> {
    let rows = sqlx::query(
        "SELECT number, position_id, at, latitude, longitude, place
         FROM shipment_positions
         WHERE shipment_id = $1 AND number > $2 AND number <= $3
         ORDER BY number LIMIT $4",
    )
    .bind(shipment)
    .bind(after)
    .bind(last)
    .bind(limit)
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok((row.try_get("number")?, Position::from_row(row)?))).collect()
}

impl sqlx::FromRow<'_, PgRow> for Position {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let place = match row.try_get("place")? {
            Some(name) => Place::Named(name),
            None => Place::Coordinates {
                latitude: row.try_get("latitude")?,
                longitude: row.try_get("longitude")?,
            },
        };
        Ok(Self { id: row.try_get("position_id")?, time: row.try_get("at")?, place })
    }
}

fn point(place: &Place) -> Option<(f64, f64)> {
    match place {
        Place::Coordinates { latitude, longitude } => Some((*latitude, *longitude)),
        Place::Named(_) => None,
    }
}

fn name(place: &Place) -> Option<&str> {
    match place {
        Place::Coordinates { .. } => None,
        Place::Named(name) => Some(name),
    }
}
