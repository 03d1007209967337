//! Stores where parcels were.

use std::collections::HashMap;

use futures::FutureExt as _;
use mesh_log::{Database, SubmitError, Watchers, transact};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{Located, Position, Refusal, Shipment},
    store::{self, NewPosition},
};

/// A position as a carrier's message says it.
pub struct Sighting {
    /// Which message of the stream it is, from 1.
    pub message: u64,
    pub shipment_id: Uuid,
    pub position: Position,
    /// Digest of the position as it was sent.
    pub digest: [u8; 16],
}

/// What became of sightings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    pub stored: i64,
    pub known: i64,
    pub late: i64,
    /// The first one that was refused, by its message; nothing behind it was looked at.
    pub refused: Option<(u64, Refusal)>,
}

/// Stores what is new of a carrier's sightings, in their order, up to the first that is refused.
pub async fn record_positions(
    db: &Database,
    watchers: &Watchers,
    sightings: Vec<Sighting>,
) -> Result<Recorded, SubmitError> {
    let (recorded, moved) = transact(db, "record_positions", move |tx| {
        async move { record(tx, &sightings).await.map_err(SubmitError::from) }.boxed()
    })
    .await?;
    for shipment in moved {
        watchers.notify(shipment.id, shipment.last_sequence());
    }
    Ok(recorded)
}

async fn record(
    tx: &mut PgConnection,
    sightings: &[Sighting],
) -> sqlx::Result<(Recorded, Vec<Shipment>)> {
    let mut ids: Vec<_> = sightings.iter().map(|sighting| sighting.shipment_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let (locked, _) = store::lock(tx, &ids).await?;
    let mut shipments: HashMap<_, _> =
        locked.into_iter().map(|row| (row.shipment.id, row.shipment)).collect();
    // Only now: whoever stored the same positions held the same locks.
    let wanted: Vec<_> = sightings.iter().map(|s| (s.shipment_id, s.position.id)).collect();
    let mut known = store::known_positions(tx, &wanted).await?;

    let mut recorded = Recorded::default();
    let mut new = Vec::new();
    for sighting in sightings {
        match decide(sighting, &mut shipments, &mut known) {
            Ok(None) => recorded.known += 1,
            Ok(Some(Located::Late)) => recorded.late += 1,
            Ok(Some(Located::Stored { number })) => {
                recorded.stored += 1;
                let Sighting { shipment_id, digest, ref position, .. } = *sighting;
                new.push(NewPosition { shipment_id, number, digest, position });
            }
            Err(refusal) => {
                recorded.refused = Some((sighting.message, refusal));
                break;
            }
        }
    }
    shipments.retain(|id, _| new.iter().any(|new| new.shipment_id == *id));
    store::save_positions(tx, &new, &shipments.values().collect::<Vec<_>>()).await?;
    Ok((recorded, shipments.into_values().collect()))
}

/// What becomes of a sighting; `None` if it is known.
fn decide(
    sighting: &Sighting,
    shipments: &mut HashMap<Uuid, Shipment>,
    known: &mut HashMap<(Uuid, Uuid), [u8; 16]>,
) -> Result<Option<Located>, Refusal> {
    let shipment = shipments.get_mut(&sighting.shipment_id).ok_or(Refusal::NotFound)?;
    let key = (sighting.shipment_id, sighting.position.id);
    match known.get(&key) {
        Some(digest) if *digest == sighting.digest => return Ok(None),
        Some(_) => return Err(Refusal::ContentDiffers),
        None => {}
    }
    let located = shipment.locate()?;
    if located != Located::Late {
        known.insert(key, sighting.digest);
    }
    Ok(Some(located))
}
