//! An event as its consumer sees it.

use bytes::Bytes;
use mesh_log::{Event, Meta};
use prost::Message;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::HandleError;

/// An event that came from another service.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// The event's id, the same however often it is delivered.
    pub id: Uuid,
    /// Full name of the body's type, for instance `shop.orders.v1.OrderPlaced`.
    pub kind: String,
    /// What the event is about; events with one key come in the order of their versions.
    pub key: Uuid,
    /// Version of the key after the event.
    pub version: i32,
    /// When the publisher recorded it, by the publisher's clock.
    pub time: OffsetDateTime,
    /// The encoded message.
    pub body: Bytes,
    /// Where the event came from.
    pub meta: Meta,
    /// The stream that it came from.
    pub stream: String,
    /// Sequence in that stream; starts again when the stream is made anew.
    pub sequence: u64,
}

impl Incoming {
    /// Reads the body; an unreadable one makes the event a dead letter at once.
    pub fn decode<M: Message + Default>(&self) -> Result<M, HandleError> {
        M::decode(self.body.clone()).map_err(HandleError::from)
    }

    /// Says of `event` that this event caused it.
    pub fn causes(&self, mut event: Event) -> Event {
        event.meta.causation_id = self.id.to_string();
        event.meta.correlation_id = self.story();
        event
    }

    /// The id of the story that it belongs to, which it begins if it belongs to none.
    pub fn story(&self) -> String {
        match self.meta.correlation_id.as_str() {
            "" => self.id.to_string(),
            story => story.to_owned(),
        }
    }
}
