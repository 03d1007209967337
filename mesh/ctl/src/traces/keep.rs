//! A span as it is kept: checked, and as small as it came.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1 as otlp;
use prost::Message as _;
use uuid::Uuid;

use super::Span;

/// The largest span that is kept.
const LARGEST: usize = 64 << 10;
/// What a kept span costs beside its bytes.
const OVERHEAD: usize = 64;
/// The attribute that names the story which a span belongs to.
const STORY: &str = "saga_id";

/// One kept span.
#[derive(Debug)]
pub(super) struct Kept {
    pub service: Arc<str>,
    encoded: Box<[u8]>,
}

/// A span that was let in, with what it is found by.
#[derive(Debug)]
pub(super) struct Admitted {
    pub trace: u128,
    pub kept: Kept,
    /// Every id that an attribute holds: of orders, sagas, requests, keys.
    pub ids: Vec<Uuid>,
    /// The one of them that names a story.
    pub story: Option<Uuid>,
}

impl Kept {
    /// The span, translated.
    pub fn read(&self) -> Option<Span> {
        let span = otlp::Span::decode(&*self.encoded).ok()?;
        Some(Span::of(&self.service, span))
    }

    /// What it costs to keep.
    pub fn size(&self) -> usize {
        self.encoded.len() + OVERHEAD
    }
}

/// Lets a span in, or says what is wrong with it.
pub(super) fn admit(service: &Arc<str>, span: &otlp::Span) -> Result<Admitted, &'static str> {
    let trace = id::<16>(&span.trace_id).map(u128::from_be_bytes);
    let trace = trace.ok_or("a trace id is 16 bytes, not all zero")?;
    id::<8>(&span.span_id).ok_or("a span id is 8 bytes, not all zero")?;
    if !span.parent_span_id.is_empty() && span.parent_span_id.len() != 8 {
        return Err("a parent's id is 8 bytes, or none");
    }
    if span.name.is_empty() || span.start_time_unix_nano == 0 {
        return Err("a span has a name and a start");
    }
    if span.end_time_unix_nano < span.start_time_unix_nano {
        return Err("a span ends after its start");
    }
    let encoded = span.encode_to_vec().into_boxed_slice();
    if encoded.len() > LARGEST {
        return Err("a span has at most 64 KiB");
    }
    let mut ids = Vec::new();
    let mut story = None;
    for attribute in &span.attributes {
        let Some(Value::StringValue(text)) =
            attribute.value.as_ref().and_then(|it| it.value.as_ref())
        else {
            continue;
        };
        // Written with dashes: a trace's id is none of these.
        if let (36, Ok(id)) = (text.len(), Uuid::try_parse(text)) {
            ids.push(id);
            if attribute.key == STORY {
                story = Some(id);
            }
        }
    }
    Ok(Admitted { trace, kept: Kept { service: Arc::clone(service), encoded }, ids, story })
}

fn id<const SIZE: usize>(bytes: &[u8]) -> Option<[u8; SIZE]> {
    let id = <[u8; SIZE]>::try_from(bytes).ok()?;
    (id != [0; SIZE]).then_some(id)
}
