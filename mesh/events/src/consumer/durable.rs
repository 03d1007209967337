//! The durable consumer at the broker: there, as declared, and never ahead of its stream.

use std::time::Duration;

use async_nats::jetstream::{
    consumer::{AckPolicy, DeliverPolicy, Info, PullConsumer, pull},
    stream::Stream,
};

use super::{Trouble, Work};

/// How long a pull request may wait at the broker. Short, because a stopped process leaves its
/// requests behind and what is delivered to them comes back only after the acknowledgement wait.
pub(super) const PULL_EXPIRY: Duration = Duration::from_secs(3);

/// Opens the durable consumer; makes it if it is missing, anew if it is ahead of its stream.
pub(super) async fn open(work: &Work) -> Result<(PullConsumer, Info), Trouble> {
    let stream = work.nats.jetstream().get_stream(work.stream).await.map_err(Trouble::broker)?;
    let (mut consumer, mut info) = ensure(work, &stream).await?;
    let last = stream.get_info().await.map_err(Trouble::broker)?.state.last_sequence;
    if info.delivered.stream_sequence > last {
        // The broker lost messages that it had delivered; what takes their place was not seen.
        let delivered = info.delivered.stream_sequence;
        tracing::warn!(stream = work.stream, delivered, last, "consumer is made anew");
        stream.delete_consumer(work.service).await.map_err(Trouble::broker)?;
        (consumer, info) = ensure(work, &stream).await?;
    }
    Ok((consumer, info))
}

async fn ensure(work: &Work, stream: &Stream) -> Result<(PullConsumer, Info), Trouble> {
    let consumer = stream.create_consumer(config(work)).await.map_err(Trouble::broker)?;
    // The answer to an update says nothing about what was delivered.
    let info = consumer.get_info().await.map_err(Trouble::broker)?;
    Ok((consumer, info))
}

fn config(work: &Work) -> pull::Config {
    pull::Config {
        durable_name: Some(work.service.to_owned()),
        filter_subjects: work.subjects.clone(),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: work.options.ack_wait,
        max_deliver: -1,
        max_ack_pending: i64::try_from(work.options.in_flight).unwrap_or(i64::MAX),
        ..pull::Config::default()
    }
}
