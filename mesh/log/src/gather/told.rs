//! How a batch is shown in the traces of those who wait for it.

use mesh_runtime::trace::{self, TraceContext};
use tracing::Span;

use super::Work;
use crate::statement::{failed, round_trip, transaction};

/// One attempt at a batch, as a span in each trace that is sampled.
///
/// What is done within it is done once, and shown once: below the first span, which the others link
/// to.
pub(super) struct Told(Vec<Span>);

impl Told {
    /// Begins the spans of the commands that wait somewhere, of a batch of so many.
    pub(super) fn begin<'c, W: Work>(
        waiting: impl Iterator<Item = (&'c W::Command, TraceContext)>,
        size: usize,
    ) -> Self {
        let mut spans: Vec<Span> = Vec::new();
        for (command, place) in waiting {
            let span = trace::begin(Some(place), span::<W>);
            span.record("mesh.command", W::label(command));
            // The conventions call one command no batch.
            if let Some(size) = i64::try_from(size).ok().filter(|size| *size > 1) {
                span.record("db.operation.batch.size", size);
            }
            if let Some(first) = spans.first().and_then(trace::of_span) {
                trace::link(&span, first);
            }
            spans.push(span);
        }
        Self(spans)
    }

    /// The span that the work belongs to; none if nobody looks.
    pub(super) fn first(&self) -> Span {
        self.0.first().cloned().unwrap_or_else(Span::none)
    }

    /// Ends all of them.
    pub(super) fn end(self, error: Option<&sqlx::Error>) {
        if let Some(error) = error {
            self.0.iter().for_each(|span| failed(span, error));
        }
    }
}

fn span<W: Work>() -> Span {
    if W::ONE_STATEMENT {
        round_trip(&Span::none(), W::SUMMARY)
    } else {
        transaction(&Span::none())
    }
}
