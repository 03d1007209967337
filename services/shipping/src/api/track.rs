//! A parcel's way, as it goes.

use mesh_log::{Pool, Subscription, Watchers};
use shop::shipping::v1::TrackShipmentResponse;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

use super::status::{Failure, to_status};
use crate::{app::Track, domain::Entry, wire};

/// How many entries wait for a slow reader.
const BUFFER: usize = 16;

type Answer = Result<TrackShipmentResponse, Status>;

/// Streams every entry after a sequence, in order, until the parcel has ended.
pub async fn entries(
    db: Pool,
    watchers: &Watchers,
    (id, after): (Uuid, i32),
    only_of: Option<Uuid>,
    draining: CancellationToken,
) -> Result<ReceiverStream<Answer>, Status> {
    // Subscribed before the first look, so that nothing falls between the two.
    let subscription = watchers.subscribe(id);
    let mut track = Track::new(id, after, only_of);
    let beginning = go_on(&mut track, &db).await.map_err(to_status)?;
    let (sender, receiver) = mpsc::channel(BUFFER);
    tokio::spawn(async move {
        let told = tell(&db, track, beginning, subscription, &sender);
        tokio::select! {
            result = told => if let Err(failure) = result {
                let _ = sender.send(Err(to_status(failure))).await;
            },
            () = sender.closed() => (),
            () = draining.cancelled() => {
                let _ = sender.send(Err(to_status(mesh_log::SubmitError::Stopped))).await;
            }
        }
    });
    Ok(ReceiverStream::new(receiver))
}

async fn tell(
    db: &Pool,
    mut track: Track,
    mut entries: Vec<Entry>,
    mut subscription: Subscription,
    sender: &mpsc::Sender<Answer>,
) -> Result<(), Failure> {
    loop {
        let is_news = !entries.is_empty();
        for entry in &entries {
            let entry = Some(wire::entry(entry));
            // A reader that has gone away ends the task by `closed`.
            let _ = sender.send(Ok(TrackShipmentResponse { entry })).await;
        }
        if track.is_over() {
            return Ok(());
        }
        // There may be more than one read gives.
        if !is_news {
            subscription.past(track.sequence()).await;
        }
        entries = go_on(&mut track, db).await?;
    }
}

async fn go_on(track: &mut Track, db: &Pool) -> Result<Vec<Entry>, Failure> {
    Ok(track.go_on(db).await??)
}
