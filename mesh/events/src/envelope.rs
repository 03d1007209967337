//! Events as messages: CloudEvents 1.0 in binary mode, a protobuf body.

use async_nats::{HeaderMap, header::NATS_MESSAGE_ID};
use bytes::Bytes;
use mesh_log::{LogRow, Meta};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::Incoming;

/// Header with the row of the publisher's log that the message was made from.
pub(crate) const LOG_POSITION: &str = "Mesh-Log-Position";

const SPEC_VERSION: &str = "1.0";
const CONTENT_TYPE: &str = "application/protobuf";

/// Builds the headers of a log row's message.
pub(crate) fn headers(service: &str, row: &LogRow) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let time = row.at.format(&Rfc3339).expect("the database's times have years of four digits");
    headers.insert(NATS_MESSAGE_ID, row.id.to_string());
    headers.insert(LOG_POSITION, row.seq.to_string());
    headers.insert("ce-specversion", SPEC_VERSION);
    headers.insert("ce-id", row.id.to_string());
    headers.insert("ce-type", row.kind.as_str());
    headers.insert("ce-source", format!("/{service}"));
    headers.insert("ce-subject", row.key.to_string());
    headers.insert("ce-sequence", row.version.to_string());
    headers.insert("ce-time", time);
    headers.insert("ce-dataschema", format!("https://type.googleapis.com/{}", row.kind));
    headers.insert("datacontenttype", CONTENT_TYPE);
    let Meta { traceparent, correlation_id, causation_id } = &row.meta;
    let optional = [
        ("traceparent", traceparent),
        ("ce-correlationid", correlation_id),
        ("ce-causationid", causation_id),
    ];
    for (name, value) in optional {
        if !value.is_empty() {
            headers.insert(name, value.as_str());
        }
    }
    headers
}

/// Position in the publisher's log that a message says it was made from.
pub(crate) fn log_position(headers: &HeaderMap) -> Option<i64> {
    headers.get(LOG_POSITION)?.as_str().parse().ok()
}

/// A message as it was received, not yet understood.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) stream: String,
    pub(crate) sequence: u64,
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Envelope {
    /// The event's id; one made from the message's place in the stream if it names none.
    pub(crate) fn id(&self) -> Uuid {
        self.parsed("ce-id").unwrap_or_else(|_| {
            let place = format!("{}:{}", self.stream, self.sequence);
            Uuid::new_v5(&Uuid::NAMESPACE_OID, place.as_bytes())
        })
    }

    /// What orders the event among others: its key as sent; empty if it names none.
    pub(crate) fn key(&self) -> &str {
        self.header("ce-subject").unwrap_or_default()
    }

    /// Reads the headers. Fails with a text for a person.
    pub(crate) fn event(&self) -> Result<Incoming, String> {
        let time = self.required("ce-time")?;
        let content = self.required("datacontenttype")?;
        if content != CONTENT_TYPE {
            return Err(format!("header datacontenttype is {content:?}, not {CONTENT_TYPE:?}"));
        }
        Ok(Incoming {
            id: self.parsed("ce-id")?,
            kind: self.required("ce-type")?.to_owned(),
            key: self.parsed("ce-subject")?,
            version: self.parsed("ce-sequence")?,
            time: OffsetDateTime::parse(time, &Rfc3339)
                .map_err(|error| format!("header ce-time: {error}"))?,
            body: self.body.clone(),
            meta: Meta {
                traceparent: self.header("traceparent").unwrap_or_default().to_owned(),
                correlation_id: self.header("ce-correlationid").unwrap_or_default().to_owned(),
                causation_id: self.header("ce-causationid").unwrap_or_default().to_owned(),
            },
            stream: self.stream.clone(),
            sequence: self.sequence,
        })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(async_nats::HeaderValue::as_str)
    }

    fn required(&self, name: &str) -> Result<&str, String> {
        self.header(name).ok_or_else(|| format!("header {name} is missing"))
    }

    fn parsed<T>(&self, name: &str) -> Result<T, String>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        self.required(name)?.parse().map_err(|error| format!("header {name}: {error}"))
    }
}

/// Writes headers as text, one `name: value` per line, to be kept in a row.
pub(crate) fn headers_to_text(headers: &HeaderMap) -> String {
    let mut lines: Vec<_> = headers
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| format!("{name}: {value}\n")))
        .collect();
    lines.sort_unstable();
    lines.concat()
}

/// Reads what [`headers_to_text`] wrote.
pub(crate) fn headers_from_text(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in text.lines().filter_map(|line| line.split_once(": ")) {
        headers.append(name, value);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> LogRow {
        LogRow {
            seq: 7,
            key: Uuid::from_u128(1),
            version: 3,
            id: Uuid::from_u128(2),
            kind: "stranger.v1.Renamed".to_owned(),
            public: true,
            body: Bytes::from_static(b"body"),
            meta: Meta { correlation_id: "story".to_owned(), ..Meta::default() },
            at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    fn envelope(headers: HeaderMap) -> Envelope {
        let body = row().body;
        Envelope { stream: "things".to_owned(), sequence: 9, subject: row().kind, headers, body }
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let row = row();

        let kept = headers_from_text(&headers_to_text(&headers("stranger", &row)));
        let event = envelope(kept.clone()).event().unwrap();

        assert_eq!((event.id, event.key, event.version), (row.id, row.key, row.version));
        assert_eq!((event.kind, event.time, event.meta), (row.kind, row.at, row.meta));
        assert_eq!((event.stream.as_str(), event.sequence), ("things", 9));
        assert_eq!(log_position(&kept), Some(7));
    }

    #[test]
    fn a_message_without_an_id_has_one_of_its_place() {
        let nameless = envelope(HeaderMap::new());

        assert_eq!(nameless.id(), envelope(HeaderMap::new()).id());
        assert_eq!(nameless.event().unwrap_err(), "header ce-time is missing");
        assert_eq!(nameless.key(), "");
    }
}
