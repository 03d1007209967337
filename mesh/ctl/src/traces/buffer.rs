//! The newest traces, within bounds.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keep::{Admitted, Kept, admit};
use super::span::text;
use super::{Asked, Span};

/// What an id costs that a trace is found by.
const ID: usize = 16;

/// How much is kept at most.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of all spans.
    pub bytes: usize,
    /// Spans of all traces.
    pub spans: usize,
    /// Traces of one answer.
    pub answer: usize,
}

impl Default for Limits {
    /// 64 MiB: some thousand orders.
    fn default() -> Limits {
        Limits { bytes: 64 << 20, spans: 500_000, answer: 64 }
    }
}

/// The newest traces of everything that runs. When there is no more room, the oldest is dropped as
/// a whole, and counted.
#[derive(Debug)]
pub struct Buffer {
    limits: Limits,
    kept: Mutex<Traces>,
}

/// What a buffer holds, and what went through it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Since when it has listened, in seconds since 1970: it was empty then.
    pub since: u64,
    /// Traces that it holds.
    pub traces: usize,
    /// Their spans.
    pub spans: usize,
    /// Their size.
    pub bytes: usize,
    /// Spans that came in since then.
    pub received: u64,
    /// Traces that gave way to newer ones.
    pub dropped_traces: u64,
    /// Their spans.
    pub dropped_spans: u64,
    /// Malformed spans that were refused.
    pub refused: u64,
}

/// What a buffer says to a question.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// What the buffer holds beside that.
    pub about: About,
    /// The traces that were asked for, the oldest first.
    pub traces: Vec<Vec<Span>>,
    /// How many more there are: more than an answer holds.
    pub left_out: usize,
}

#[derive(Debug, Default)]
struct Traces {
    by_id: HashMap<u128, Trace>,
    /// By arrival of their first spans.
    order: VecDeque<u128>,
    about: About,
}

#[derive(Debug, Default)]
struct Trace {
    spans: Vec<Kept>,
    ids: BTreeSet<Uuid>,
    stories: BTreeSet<Uuid>,
    bytes: usize,
}

impl Buffer {
    /// An empty buffer.
    pub fn new(limits: Limits) -> Buffer {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let about = About { since, ..About::default() };
        Buffer { limits, kept: Mutex::new(Traces { about, ..Traces::default() }) }
    }

    /// Takes spans in. Answers how many are malformed, and what is wrong with one of them.
    pub fn take(&self, resources: Vec<ResourceSpans>) -> (u64, &'static str) {
        let (mut refused, mut why) = (0, "");
        let mut admitted = Vec::new();
        for resource in resources {
            let service = service_of(resource.resource);
            for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
                match admit(&service, span) {
                    Ok(span) => admitted.push(span),
                    Err(error) => (refused, why) = (refused + 1, error),
                }
            }
        }
        let mut kept = self.lock();
        kept.about.refused += refused;
        for span in admitted {
            kept.add(span);
        }
        kept.make_room(&self.limits);
        (refused, why)
    }

    /// The traces that an id means: a trace by its own, else all that mention the id, and all of the
    /// stories that those mention.
    pub fn answer(&self, asked: Asked) -> Answer {
        let kept = self.lock();
        let (mut trace, mut ids) = (None, BTreeSet::new());
        match asked {
            Asked::Trace(id) => trace = Some(id),
            Asked::Id(id) => _ = ids.insert(id),
        }
        let means = |id: &u128, it: &Trace, ids: &BTreeSet<Uuid>| {
            trace == Some(*id) || !it.ids.is_disjoint(ids)
        };
        let first = kept.by_id.iter().filter(|(id, it)| means(id, it, &ids));
        let stories: Vec<Uuid> = first.flat_map(|(_, it)| it.stories.iter().copied()).collect();
        ids.extend(stories);
        let mut found: Vec<u128> = kept.order.iter().copied().collect();
        found.retain(|id| kept.by_id.get(id).is_some_and(|it| means(id, it, &ids)));
        let left_out = found.len().saturating_sub(self.limits.answer);
        found.truncate(self.limits.answer);
        let spans = |id: &u128| kept.by_id[id].spans.iter().filter_map(Kept::read).collect();
        let about = kept.about();
        Answer { about, traces: found.iter().map(spans).collect(), left_out }
    }

    /// Every span that it holds.
    pub fn spans(&self) -> Vec<Span> {
        self.newest(usize::MAX)
    }

    /// The spans of so many traces, those that began last.
    pub fn newest(&self, traces: usize) -> Vec<Span> {
        let kept = self.lock();
        let newest = kept.order.iter().rev().take(traces).filter_map(|id| kept.by_id.get(id));
        newest.flat_map(|it| &it.spans).filter_map(Kept::read).collect()
    }

    /// What it holds.
    pub fn about(&self) -> About {
        self.lock().about()
    }

    fn lock(&self) -> MutexGuard<'_, Traces> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Traces {
    fn add(&mut self, span: Admitted) {
        let trace = self.by_id.entry(span.trace).or_insert_with(|| {
            self.order.push_back(span.trace);
            Trace::default()
        });
        let mut size = span.kept.size();
        for id in span.ids {
            size += if trace.ids.insert(id) { ID } else { 0 };
        }
        trace.stories.extend(span.story);
        trace.spans.push(span.kept);
        trace.bytes += size;
        self.about.bytes += size;
        self.about.spans += 1;
        self.about.received += 1;
    }

    fn make_room(&mut self, limits: &Limits) {
        while self.about.bytes > limits.bytes || self.about.spans > limits.spans {
            let Some(oldest) = self.order.pop_front() else { return };
            let Some(trace) = self.by_id.remove(&oldest) else { continue };
            self.about.bytes -= trace.bytes;
            self.about.spans -= trace.spans.len();
            self.about.dropped_spans += trace.spans.len() as u64;
            self.about.dropped_traces += 1;
        }
    }

    fn about(&self) -> About {
        About { traces: self.by_id.len(), ..self.about }
    }
}

fn service_of(resource: Option<Resource>) -> Arc<str> {
    let attributes = resource.map(|it| it.attributes).unwrap_or_default();
    let name = attributes.into_iter().find(|it| it.key == "service.name");
    name.and_then(|it| it.value).map(text).unwrap_or_default().into()
}
