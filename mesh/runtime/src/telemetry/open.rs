//! A span that is sent when it ends: OTLP's message of it
//! (`opentelemetry.proto.trace.v1.Span`), written as the span is told what belongs there.

use std::{
    borrow::Cow,
    time::{SystemTime, UNIX_EPOCH},
};

use tracing::{Event, Level, span};

use super::{
    attributes::{Fields, Take},
    places::Birth,
    wire::{self, Value},
};
use crate::trace::TraceContext;

/// The most attributes, events and links of one span, of each (OpenTelemetry's default).
const MOST: u32 = 128;
/// Room for most spans, so that a message is moved only where it is kept.
const ROOM: usize = 512;
/// How a span says that the one above it may be another process', and that it is (`SpanFlags`).
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
const MESSAGE: &str = "message";

/// Fields of the messages.
mod field {
    pub(super) const TRACE_ID: u32 = 1;
    pub(super) const SPAN_ID: u32 = 2;
    pub(super) const PARENT: u32 = 4;
    pub(super) const NAME: u32 = 5;
    pub(super) const KIND: u32 = 6;
    pub(super) const START: u32 = 7;
    pub(super) const END: u32 = 8;
    pub(super) const ATTRIBUTES: u32 = 9;
    pub(super) const ATTRIBUTES_DROPPED: u32 = 10;
    pub(super) const EVENTS: u32 = 11;
    pub(super) const EVENTS_DROPPED: u32 = 12;
    pub(super) const LINKS: u32 = 13;
    pub(super) const LINKS_DROPPED: u32 = 14;
    pub(super) const STATUS: u32 = 15;
    pub(super) const FLAGS: u32 = 16;

    pub(super) mod event {
        pub(in super::super) const TIME: u32 = 1;
        pub(in super::super) const NAME: u32 = 2;
        pub(in super::super) const ATTRIBUTES: u32 = 3;
    }

    pub(super) mod link {
        pub(in super::super) const FLAGS: u32 = 6;
    }

    pub(super) mod status {
        pub(in super::super) const MESSAGE: u32 = 2;
        pub(in super::super) const CODE: u32 = 3;
    }
}

/// A span that is sent when it ends. The numbers on the way there belong to it.
pub(crate) struct Open {
    /// The message as far as it is known.
    message: Vec<u8>,
    /// What it consists of after its beginning, so that a later word can replace an earlier one.
    pieces: Vec<Piece>,
    /// Where the first of them begins.
    begin: usize,
    /// What it is called unless it says so itself.
    name: &'static str,
    is_named: bool,
    kind: Kind,
    /// When it ended, if that was before now.
    ended: Option<u64>,
    status: Status,
    attributes: Count,
    events: Count,
    links: Count,
}

/// A part of the message: of the field that it is named for, or nameless.
struct Piece {
    name: &'static str,
    len: usize,
}

/// How many there are, and how many were too many.
#[derive(Default)]
struct Count {
    kept: u32,
    dropped: u32,
}

/// OTLP's numbers.
#[derive(Clone, Copy)]
enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

/// OTLP's numbers.
#[derive(Clone, Copy, PartialEq)]
enum Code {
    Unset = 0,
    Ok = 1,
    Error = 2,
}

struct Status {
    code: Code,
    message: String,
}

/// What an event says.
struct Said {
    /// Its message, if it has one.
    name: Cow<'static, str>,
    /// The rest, as it is sent.
    attributes: Vec<u8>,
}

impl Open {
    pub(super) fn new(attributes: &span::Attributes<'_>, birth: Birth) -> Open {
        let mut message = Vec::with_capacity(ROOM);
        let TraceContext { trace_id, span_id, sampled } = birth.place;
        wire::bytes(&mut message, field::TRACE_ID, &trace_id.to_be_bytes());
        wire::bytes(&mut message, field::SPAN_ID, &span_id.to_be_bytes());
        let mut flags = HAS_IS_REMOTE | u32::from(sampled);
        if let Some(above) = birth.above {
            wire::bytes(&mut message, field::PARENT, &above.span_id.to_be_bytes());
            if above.is_remote {
                flags |= IS_REMOTE;
            }
        }
        wire::fixed32(&mut message, field::FLAGS, flags);
        wire::fixed64(&mut message, field::START, now());
        let mut open = Open {
            begin: message.len(),
            message,
            pieces: Vec::with_capacity(attributes.fields().len()),
            name: attributes.metadata().name(),
            is_named: false,
            kind: Kind::Internal,
            ended: None,
            status: Status { code: Code::Unset, message: String::new() },
            attributes: Count::default(),
            events: Count::default(),
            links: Count::default(),
        };
        attributes.record(&mut Fields(&mut open));
        open
    }

    pub(super) fn record(&mut self, values: &span::Record<'_>) {
        values.record(&mut Fields(self));
    }

    /// Links it to another, in whatever trace that is.
    pub(crate) fn link(&mut self, to: TraceContext) {
        if !self.links.one_more() {
            return;
        }
        let flags = HAS_IS_REMOTE | IS_REMOTE | u32::from(to.sampled);
        let mut link = Vec::new();
        wire::bytes(&mut link, field::TRACE_ID, &to.trace_id.to_be_bytes());
        wire::bytes(&mut link, field::SPAN_ID, &to.span_id.to_be_bytes());
        wire::fixed32(&mut link, field::link::FLAGS, flags);
        self.piece("", |message| wire::bytes(message, field::LINKS, &link));
    }

    pub(super) fn note(&mut self, event: &Event<'_>) {
        let metadata = event.metadata();
        let level = *metadata.level();
        if level == Level::ERROR && self.status.code == Code::Unset {
            self.status.code = Code::Error;
        }
        if !self.events.one_more() {
            return;
        }
        let mut said = Said { name: Cow::Borrowed(metadata.name()), attributes: Vec::new() };
        said.take("level", Value::Text(level.as_str()));
        said.take("target", Value::Text(metadata.target()));
        event.record(&mut Fields(&mut said));
        let mut whole = Vec::with_capacity(said.attributes.len() + said.name.len() + 16);
        wire::fixed64(&mut whole, field::event::TIME, now());
        wire::bytes(&mut whole, field::event::NAME, said.name.as_bytes());
        whole.append(&mut said.attributes);
        self.piece("", |message| wire::bytes(message, field::EVENTS, &whole));
    }

    /// Ends it; what is returned is the whole message.
    pub(super) fn end(&mut self) -> &[u8] {
        let message = &mut self.message;
        if !self.is_named {
            wire::bytes(message, field::NAME, self.name.as_bytes());
        }
        wire::number(message, field::KIND, self.kind as u64);
        wire::fixed64(message, field::END, self.ended.unwrap_or_else(now));
        for (field, count) in [
            (field::ATTRIBUTES_DROPPED, &self.attributes),
            (field::EVENTS_DROPPED, &self.events),
            (field::LINKS_DROPPED, &self.links),
        ] {
            wire::number(message, field, u64::from(count.dropped));
        }
        let mut status = Vec::new();
        if !self.status.message.is_empty() {
            wire::bytes(&mut status, field::status::MESSAGE, self.status.message.as_bytes());
        }
        wire::number(&mut status, field::status::CODE, self.status.code as u64);
        wire::bytes(message, field::STATUS, &status);
        message
    }

    /// Of what comes first, when it began is the last.
    fn begun(&mut self, time: u64) {
        let time = time.to_le_bytes();
        self.message[self.begin - time.len()..self.begin].copy_from_slice(&time);
    }

    fn piece(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.message.len();
        write(&mut self.message);
        self.pieces.push(Piece { name, len: self.message.len() - before });
    }

    /// Puts it in the place of what the field `name` said before; returns whether there is such.
    fn replace(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(known) = self.pieces.iter().position(|piece| piece.name == name) else {
            return false;
        };
        let from = self.begin + self.pieces[..known].iter().map(|piece| piece.len).sum::<usize>();
        let mut new = Vec::new();
        write(&mut new);
        let piece = &mut self.pieces[known];
        let old = from..from + piece.len;
        piece.len = new.len();
        self.message.splice(old, new);
        true
    }

    fn attribute(&mut self, name: &'static str, value: Value<'_>) {
        let write = |to: &mut Vec<u8>| wire::attribute(to, field::ATTRIBUTES, name, value);
        if !self.replace(name, write) && self.attributes.one_more() {
            self.piece(name, write);
        }
    }

    fn rename(&mut self, name: &'static str, value: Value<'_>) {
        let text = value.text();
        let write = |to: &mut Vec<u8>| wire::bytes(to, field::NAME, text.as_bytes());
        if !self.replace(name, write) {
            self.piece(name, write);
            self.is_named = true;
        }
    }
}

/// A later field replaces an earlier one of the same name.
impl Take for Open {
    fn take(&mut self, name: &'static str, value: Value<'_>) {
        match name {
            "otel.name" => self.rename(name, value),
            "otel.kind" => self.kind = kind(&value.text()),
            "otel.status_code" => self.status = status(&value.text()),
            "otel.start" => value.time().into_iter().for_each(|time| self.begun(time)),
            "otel.end" => self.ended = value.time(),
            "otel.status_description" => {
                self.status = Status { code: Code::Error, message: value.text().into_owned() };
            }
            _ => self.attribute(name, value),
        }
    }
}

impl Take for Said {
    fn take(&mut self, name: &'static str, value: Value<'_>) {
        if name == MESSAGE {
            self.name = Cow::Owned(value.text().into_owned());
        } else {
            wire::attribute(&mut self.attributes, field::event::ATTRIBUTES, name, value);
        }
    }
}

impl Count {
    /// Counts one, and tells whether it is kept.
    fn one_more(&mut self) -> bool {
        let is_kept = self.kept < MOST;
        let count = if is_kept { &mut self.kept } else { &mut self.dropped };
        *count += 1;
        is_kept
    }
}

fn kind(text: &str) -> Kind {
    match text {
        "server" => Kind::Server,
        "client" => Kind::Client,
        "producer" => Kind::Producer,
        "consumer" => Kind::Consumer,
        _ => Kind::Internal,
    }
}

fn status(text: &str) -> Status {
    let code = match text {
        "OK" => Code::Ok,
        "ERROR" => Code::Error,
        _ => Code::Unset,
    };
    Status { code, message: String::new() }
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
