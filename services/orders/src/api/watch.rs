//! The changes of one order, as they happen.

use shop::orders::v1::WatchOrderResponse;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::status::to_status;
use crate::{
    app::{Chapter, Error, Orders, Story, Wanted},
    wire,
};

/// How many changes wait for a slow reader.
const BUFFER: usize = 16;

type Answer = Result<WatchOrderResponse, Status>;

/// Streams every change after a version, in order, until the order can change no more.
pub async fn changes(
    orders: &Orders,
    wanted: Wanted,
    after: i32,
    draining: CancellationToken,
) -> Result<ReceiverStream<Answer>, Status> {
    // Subscribed before the first look, so that nothing falls between the two.
    let subscription = orders.engine.streams().watch(wanted.order);
    let mut story = Story::new(wanted);
    let beginning = story.go_on(orders).await.map_err(to_status)?;
    if beginning.is_empty() {
        return Err(to_status(Error::NotFound));
    }
    if after > story.version() {
        return Err(to_status(Error::VersionAhead { field: "after_version" }));
    }
    let (sender, receiver) = mpsc::channel(BUFFER);
    let orders = orders.clone();
    tokio::spawn(async move {
        let told = tell(&orders, story, beginning, after, subscription, &sender);
        tokio::select! {
            result = told => if let Err(error) = result {
                let _ = sender.send(Err(to_status(error))).await;
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
    orders: &Orders,
    mut story: Story,
    mut chapters: Vec<Chapter>,
    after: i32,
    mut subscription: mesh_log::Subscription,
    sender: &mpsc::Sender<Answer>,
) -> Result<(), Error> {
    loop {
        for chapter in chapters {
            let Some(kind) = chapter.kind else { continue };
            if chapter.shown.order.version > after {
                let change = Some(wire::change(&chapter.event, kind, &chapter.shown));
                // A reader that has gone away ends the task by `closed`.
                let _ = sender.send(Ok(WatchOrderResponse { change })).await;
            }
        }
        if story.is_over() {
            return Ok(());
        }
        subscription.past(story.version()).await;
        chapters = story.follow(orders, &subscription).await?;
    }
}
