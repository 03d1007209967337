//! The streams of the broker, and how far their consumers are.

use std::{collections::HashMap, str::FromStr, sync::Arc, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::{
        self, ErrorCode, consumer::pull::OrderedConfig, context::ConsumerInfoErrorKind,
        stream::Stream,
    },
};
use futures::StreamExt as _;
use tokio::time::timeout;

use super::super::Unreadable;
use super::super::facts::{Message, Standing};

/// How long the broker may stay silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to the broker.
pub struct Broker {
    jetstream: jetstream::Context,
}

impl Broker {
    pub async fn connect(url: &str) -> Result<Broker, Unreadable> {
        let away = |error: async_nats::Error| Unreadable::away("the broker".to_owned(), error);
        let client = match timeout(PATIENCE, mesh_local::connect_nats(url)).await {
            Ok(connected) => connected.map_err(|error| away(error.into()))?,
            Err(elapsed) => return Err(away(elapsed.into())),
        };
        Ok(Broker { jetstream: jetstream::new(client) })
    }

    /// How long a stream keeps messages, and all that it holds, in order.
    pub async fn messages(
        &self,
        name: &str,
    ) -> Result<(Option<Duration>, Vec<Message>), Unreadable> {
        let stream = self.stream(name).await?;
        let info = stream.cached_info();
        let max_age = (!info.config.max_age.is_zero()).then_some(info.config.max_age);
        if info.state.messages == 0 {
            return Ok((max_age, Vec::new()));
        }
        let (count, last) = (info.state.messages, info.state.last_sequence);
        Ok((max_age, self.read(&stream, name, count, last).await?))
    }

    async fn read(
        &self,
        stream: &Stream,
        name: &str,
        count: u64,
        last: u64,
    ) -> Result<Vec<Message>, Unreadable> {
        let away =
            |error: async_nats::Error| Unreadable::away(format!("the stream `{name}`"), error);
        // Pulled, so that a long stream comes no faster than it is read.
        let config = OrderedConfig { headers_only: true, ..OrderedConfig::default() };
        let consumer = stream.create_consumer(config).await;
        let consumer = consumer.map_err(|error| away(error.into()))?;
        let mut deliveries = consumer.messages().await.map_err(|error| away(error.into()))?;
        let mut subjects = HashMap::new();
        let mut messages = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
        loop {
            let delivery = match timeout(PATIENCE, deliveries.next()).await {
                Ok(Some(delivery)) => delivery.map_err(|error| away(error.into()))?,
                Ok(None) => return Ok(messages),
                Err(elapsed) => return Err(away(elapsed.into())),
            };
            let info = delivery.info().map_err(away)?;
            let (sequence, pending) = (info.stream_sequence, info.pending);
            messages.push(message(&delivery.message, sequence, &mut subjects));
            if pending == 0 || sequence >= last {
                return Ok(messages);
            }
        }
    }

    /// How far a durable consumer is; none if it does not exist.
    pub async fn standing(
        &self,
        stream: &str,
        consumer: &str,
    ) -> Result<Option<Standing>, Unreadable> {
        let stream = self.stream(stream).await?;
        match stream.consumer_info(consumer).await {
            Ok(info) => Ok(Some(Standing {
                pending: info.num_pending,
                unacknowledged: info.num_ack_pending as u64,
            })),
            Err(error) => match error.kind() {
                ConsumerInfoErrorKind::NotFound => Ok(None),
                ConsumerInfoErrorKind::JetStream(error)
                    if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND =>
                {
                    Ok(None)
                }
                _ => Err(Unreadable::away(format!("the consumer `{consumer}`"), error)),
            },
        }
    }

    async fn stream(&self, name: &str) -> Result<Stream, Unreadable> {
        let stream = self.jetstream.get_stream(name).await;
        stream.map_err(|error| Unreadable::missing(format!("the stream `{name}`"), error))
    }
}

fn message(
    message: &async_nats::Message,
    sequence: u64,
    subjects: &mut HashMap<String, Arc<str>>,
) -> Message {
    let nothing = HeaderMap::new();
    let headers = message.headers.as_ref().unwrap_or(&nothing);
    let subject = match subjects.get(message.subject.as_str()) {
        Some(known) => Arc::clone(known),
        None => {
            let subject: Arc<str> = message.subject.as_str().into();
            subjects.insert(message.subject.to_string(), Arc::clone(&subject));
            subject
        }
    };
    Message {
        sequence,
        position: parsed(headers, "Mesh-Log-Position"),
        message_id: parsed(headers, "Nats-Msg-Id"),
        id: parsed(headers, "ce-id"),
        key: parsed(headers, "ce-subject"),
        version: parsed(headers, "ce-sequence"),
        subject,
    }
}

fn parsed<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    headers.get(name)?.as_str().parse().ok()
}
