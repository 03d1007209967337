//! The traces that an id means, in the order in which they are told.

use serde_json::{Value, json};

use super::{Account, Forest, Kind, Node, Span};

/// What is to be told of an id.
#[derive(Clone, Debug)]
pub struct Story {
    /// Each began with a call: the order, then what became of it.
    pub chapters: Vec<Chapter>,
    /// Traces that only mention the id.
    pub beside: Forest,
}

/// A call and all that it set going.
#[derive(Clone, Debug)]
pub struct Chapter {
    /// Its spans.
    pub forest: Forest,
    /// Where its time went.
    pub account: Account,
}

impl Story {
    /// Puts traces in order.
    pub fn of(traces: Vec<Vec<Span>>) -> Story {
        let (mut story, mut beside): (Vec<_>, Vec<_>) =
            traces.into_iter().partition(|trace| is_story(trace));
        if story.is_empty() {
            std::mem::swap(&mut story, &mut beside);
        }
        story.sort_by_key(|trace| trace.iter().map(|span| span.start).min());
        let mut chapters: Vec<Vec<Vec<Span>>> = Vec::new();
        for trace in story {
            match chapters.last_mut() {
                // A story that was taken up again, as after a crash: no call began it.
                Some(chapter) if !begins_with_call(&trace) => chapter.push(trace),
                _ => chapters.push(vec![trace]),
            }
        }
        let chapters = chapters.into_iter().map(Chapter::of).collect();
        Story { chapters, beside: Forest::of(beside) }
    }
}

impl Chapter {
    fn of(traces: Vec<Vec<Span>>) -> Chapter {
        let forest = Forest::of(traces);
        Chapter { account: Account::of(&forest), forest }
    }

    /// For programs; times are nanoseconds.
    pub fn json(&self) -> Value {
        let span = |(index, node): (usize, &Node)| {
            let mut value = json!(node);
            value["critical"] = self.account.critical.get(index).copied().into();
            value
        };
        let spans: Vec<_> = self.forest.nodes.iter().enumerate().map(span).collect();
        json!({
            "took": self.account.to - self.account.from,
            "steps": self.account.phases,
            "between": self.account.between,
            "waited": self.account.waited,
            "spans": spans,
        })
    }
}

fn is_story(trace: &[Span]) -> bool {
    trace.iter().any(|span| !span.attribute("saga_id").is_empty())
}

fn begins_with_call(trace: &[Span]) -> bool {
    trace.iter().any(|span| span.parent_id.is_empty() && span.kind == Kind::Server)
}
