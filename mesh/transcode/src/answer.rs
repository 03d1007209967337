//! An answer of an RPC becomes JSON, whole or as a stream.

use http::{HeaderMap, header};
use prost_reflect::{DynamicMessage, Kind, ReflectMessage as _, SerializeOptions};
use serde_json::{Serializer, Value};

use crate::binding::Binding;

impl Binding {
    /// The answer's body: canonical JSON of the message, or of the field that the contract names.
    ///
    /// # Errors
    /// The message has something in it that JSON cannot say, such as a time before the year 1.
    pub fn answer(&self, message: &DynamicMessage) -> Result<Vec<u8>, serde_json::Error> {
        let mut json = Vec::with_capacity(256);
        let Some(field) = &self.response_body else {
            let mut writer = Serializer::new(&mut json);
            message.serialize_with_options(&mut writer, &SerializeOptions::default())?;
            return Ok(json);
        };
        let is_one = !field.is_list() && !field.is_map();
        if let (Kind::Message(_), true, Some(inner)) =
            (field.kind(), is_one, message.get_field(field).as_message())
        {
            inner.serialize_with_options(
                &mut Serializer::new(&mut json),
                &SerializeOptions::default(),
            )?;
            return Ok(json);
        }
        // What is not said has its default in an answer that is nothing else.
        let has = message.has_field(field);
        let mut alone = DynamicMessage::new(message.descriptor());
        alone.set_field(field, message.get_field(field).into_owned());
        let options = SerializeOptions::new().skip_default_fields(has);
        let mut value = alone.serialize_with_options(serde_json::value::Serializer, &options)?;
        serde_json::to_vec(&value[field.json_name()].take())
    }
}

/// How a stream of messages is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One JSON text on each line; an error is `{"error": …}` on the last.
    Lines,
    /// Server-sent events: each message is one, an error is one of type `error`, and the end of a
    /// stream that has come to its end is one of type `end`.
    Events,
}

impl Framing {
    /// What a client asks for with `accept`: events if it names them, lines otherwise.
    pub fn accepted(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT).iter();
        let mut types =
            accepted.filter_map(|value| value.to_str().ok()).flat_map(|it| it.split(','));
        let is_events = |it: &str| it.split(';').next().map(str::trim) == Some("text/event-stream");
        if types.any(is_events) { Self::Events } else { Self::Lines }
    }

    /// The answer's `content-type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
        }
    }

    /// One message of the stream, whose JSON has no line breaks.
    pub fn message(self, mut json: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Lines => {
                json.push(b'\n');
                json
            }
            Self::Events => [b"data: ".as_slice(), &json, b"\n\n"].concat(),
        }
    }

    /// The end of a stream that failed, as `google.rpc.Status` in JSON says it.
    pub fn error(self, status: &Value) -> Vec<u8> {
        match self {
            Self::Lines => format!("{{\"error\":{status}}}\n"),
            Self::Events => format!("event: error\ndata: {status}\n\n"),
        }
        .into_bytes()
    }

    /// The end of a stream that has come to its end.
    pub fn end(self) -> &'static [u8] {
        match self {
            Self::Lines => b"",
            // Without it a browser would connect again and begin anew.
            Self::Events => b"event: end\ndata: {}\n\n",
        }
    }
}
