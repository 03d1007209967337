//! Trees of spans.

use std::collections::HashMap;

use serde::Serialize;

use super::Span;

/// What a span is called that others name as their parent, and that never came in.
pub const MISSING: &str = "(not received)";

/// The spans of some traces, as trees on one time line.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Forest {
    /// Every span: a parent before its children, siblings by their start.
    pub nodes: Vec<Node>,
    /// Those without a parent.
    pub roots: Vec<usize>,
}

/// A span in its tree.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    /// The span.
    #[serde(flatten)]
    pub span: Span,
    /// Who did it: the service, also where several share a process.
    pub by: String,
    /// It did not come in: its process died, or it is not over. What is known is from its children.
    pub missing: bool,
    /// Steps down from the root.
    pub depth: usize,
    /// The node above.
    #[serde(skip)]
    pub parent: Option<usize>,
    /// The nodes below, by their start.
    #[serde(skip)]
    pub children: Vec<usize>,
    /// When it and everything below it had ended.
    #[serde(skip)]
    pub until: u64,
    /// Nanoseconds during which nothing below it was under way.
    pub own: u64,
}

impl Forest {
    /// Makes trees of traces.
    pub fn of(traces: Vec<Vec<Span>>) -> Forest {
        let mut forest = Forest::default();
        for mut spans in traces {
            add_missing(&mut spans);
            spans.sort_by(|a, b| (a.start, &a.span_id).cmp(&(b.start, &b.span_id)));
            let known: HashMap<String, usize> =
                spans.iter().enumerate().map(|(index, it)| (it.span_id.clone(), index)).collect();
            let mut children = vec![Vec::new(); spans.len()];
            let mut roots = Vec::new();
            for (index, span) in spans.iter().enumerate() {
                match known.get(&span.parent_id) {
                    Some(parent) if *parent != index => children[*parent].push(index),
                    _ => roots.push(index),
                }
            }
            let mut spans: Vec<Option<Span>> = spans.into_iter().map(Some).collect();
            for root in roots {
                if let Some(index) = forest.plant(root, None, &mut spans, &children) {
                    forest.roots.push(index);
                }
            }
        }
        forest
    }

    /// Adds a span and all below it; returns where it is. Spans that name each other as parents have
    /// no root, and are left out.
    fn plant(
        &mut self,
        at: usize,
        parent: Option<usize>,
        spans: &mut [Option<Span>],
        children: &[Vec<usize>],
    ) -> Option<usize> {
        let span = spans[at].take()?;
        let index = self.nodes.len();
        self.nodes.push(Node {
            by: self.by(&span, parent),
            missing: span.name == MISSING,
            depth: parent.map_or(0, |parent| self.nodes[parent].depth + 1),
            parent,
            children: Vec::new(),
            until: span.end,
            own: 0,
            span,
        });
        for child in &children[at] {
            if let Some(child) = self.plant(*child, Some(index), spans, children) {
                self.nodes[index].children.push(child);
                self.nodes[index].until = self.nodes[index].until.max(self.nodes[child].until);
            }
        }
        self.nodes[index].own = self.own(index);
        Some(index)
    }

    /// Who did it. Several services may share a process: then spans that do not say whose they are
    /// belong to whom the one above belongs to.
    fn by(&self, span: &Span, parent: Option<usize>) -> String {
        let said = span.attribute("service");
        if !said.is_empty() {
            return said.to_owned();
        }
        let parent = parent.map(|parent| &self.nodes[parent]);
        let inherited = parent.filter(|above| above.span.service == span.service);
        inherited.map_or_else(|| span.service.clone(), |above| above.by.clone())
    }

    /// The time of a span that none of its children has.
    fn own(&self, index: usize) -> u64 {
        let node = &self.nodes[index];
        let (mut own, mut covered) = (0, node.span.start);
        for child in &node.children {
            let child = &self.nodes[*child].span;
            own += child.start.min(node.span.end).saturating_sub(covered);
            covered = covered.max(child.end);
        }
        own + node.span.end.saturating_sub(covered)
    }

    /// The node and everything below it.
    pub fn below(&self, index: usize) -> std::ops::Range<usize> {
        let depth = self.nodes[index].depth;
        let rest = self.nodes[index + 1..].iter();
        index..index + 1 + rest.take_while(|node| node.depth > depth).count()
    }
}

/// Adds a span for each parent that did not come in, so that its children stay together.
fn add_missing(spans: &mut Vec<Span>) {
    let mut missing: HashMap<String, Span> = HashMap::new();
    for span in spans.iter().filter(|span| !span.parent_id.is_empty()) {
        if spans.iter().any(|other| other.span_id == span.parent_id) {
            continue;
        }
        let stand_in = missing.entry(span.parent_id.clone()).or_insert_with(|| Span {
            trace_id: span.trace_id.clone(),
            span_id: span.parent_id.clone(),
            service: span.service.clone(),
            name: MISSING.to_owned(),
            start: span.start,
            end: span.end,
            ..Span::default()
        });
        stand_in.start = stand_in.start.min(span.start);
        stand_in.end = stand_in.end.max(span.end);
    }
    spans.extend(missing.into_values());
}
