//! A carrier's stream of positions.

use futures::StreamExt as _;
use mesh_log::{Database, SubmitError, Watchers};
use shop::shipping::v1::{RecordPositionsRequest, RecordPositionsResponse};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::status::{Failure, to_status};
use crate::{
    app::{Sighting, record_positions},
    wire,
};

/// How many positions are stored in one commit at most. No more than these are taken from the
/// connection before they are stored, so its window slows the carrier down.
const BATCH: usize = 100;

/// Stores what comes until the carrier ends the stream.
pub async fn record(
    db: &Database,
    watchers: &Watchers,
    messages: Streaming<RecordPositionsRequest>,
    draining: CancellationToken,
) -> Result<RecordPositionsResponse, Status> {
    let mut answer = RecordPositionsResponse::default();
    let mut batches = messages.ready_chunks(BATCH);
    let mut message = 0;
    loop {
        let next = draining.run_until_cancelled(batches.next()).await;
        let next = next.ok_or_else(|| to_status(SubmitError::Stopped))?;
        let Some(batch) = next else { return Ok(answer) };
        let (sightings, end) = read(batch, &mut message);
        if !sightings.is_empty() {
            let recorded = record_positions(db, watchers, sightings).await.map_err(to_status)?;
            answer.stored_count += recorded.stored;
            answer.known_count += recorded.known;
            answer.late_count += recorded.late;
            if let Some((message, refusal)) = recorded.refused {
                return Err(to_status(Failure::NotStored { message, refusal }));
            }
        }
        end?;
    }
}

/// The positions of a batch up to the first that means nothing, or up to where the stream broke.
fn read(
    batch: Vec<Result<RecordPositionsRequest, Status>>,
    message: &mut u64,
) -> (Vec<Sighting>, Result<(), Status>) {
    let mut sightings = Vec::with_capacity(batch.len());
    for received in batch {
        *message += 1;
        let sighting = received.and_then(|request| {
            let invalid =
                |invalid| to_status(Failure::InvalidMessage { message: *message, invalid });
            wire::record_positions(&request, *message).map_err(invalid)
        });
        match sighting {
            Ok(sighting) => sightings.push(sighting),
            Err(status) => return (sightings, Err(status)),
        }
    }
    (sightings, Ok(()))
}
