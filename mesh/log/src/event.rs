//! What is written to the log.

use std::borrow::Cow;

use bytes::Bytes;
use prost::{Message, Name};
use uuid::Uuid;

/// Something that happened, as one row of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Made once, by whoever says that it happened; consumers know the event by it.
    pub id: Uuid,
    /// Full name of the body's type, for instance `shop.orders.v1.OrderPlaced`.
    pub kind: Cow<'static, str>,
    /// True if it is published; false if it is the stream's own.
    pub public: bool,
    /// The encoded message.
    pub body: Bytes,
    /// Where it came from.
    pub meta: Meta,
}

impl Event {
    /// An event that is published once it is in the log.
    pub fn public<M: Message + Name>(message: &M) -> Self {
        Self::new(M::full_name().into(), true, message.encode_to_vec().into())
    }

    /// An event that only its own stream reads.
    pub fn private<M: Message + Name>(message: &M) -> Self {
        Self::new(M::full_name().into(), false, message.encode_to_vec().into())
    }

    /// An event with a body that is encoded already.
    pub fn new(kind: Cow<'static, str>, public: bool, body: Bytes) -> Self {
        Self { id: Uuid::now_v7(), kind, public, body, meta: Meta::current() }
    }
}

/// Where an event came from, kept beside it and handed on in its message's headers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Meta {
    /// W3C `traceparent` of the span that recorded the event; empty if there was none.
    #[prost(string, tag = "1")]
    pub traceparent: String,
    /// The story that the event belongs to ([`mesh_runtime::correlation`]); empty if unknown.
    #[prost(string, tag = "2")]
    pub correlation_id: String,
    /// The event or request that caused it; empty if unknown.
    #[prost(string, tag = "3")]
    pub causation_id: String,
}

impl Meta {
    /// Takes the trace and the story of the span that is current.
    pub fn current() -> Self {
        Self {
            traceparent: mesh_runtime::trace::traceparent().unwrap_or_default(),
            correlation_id: mesh_runtime::correlation::current().unwrap_or_default(),
            causation_id: String::new(),
        }
    }
}
