//! Where the time of a story went: its critical path, step by step.
//!
//! The critical path is what would have to be faster for the story to end sooner: read backwards
//! from its end, always the last to finish of what was under way.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Forest, Kind, Node};

/// Attributes by which a span says which step of a story it is.
const STEP: [&str; 2] = ["step", "saga.step"];
/// The attribute that names the story.
const STORY: &str = "saga_id";

/// Where the time went between two moments.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Account {
    /// When the first span began, nanoseconds since 1970.
    pub from: u64,
    /// When the story came to rest: its saga's end, else the end of everything.
    pub to: u64,
    /// Nanoseconds of the critical path that each node has, by its place in the forest.
    pub critical: Vec<u64>,
    /// The story's steps, in order.
    pub phases: Vec<Phase>,
    /// Nanoseconds of the critical path that lie in no step: steps were recorded and chosen.
    pub between: u64,
    /// Nanoseconds during which no span was under way: a pause, a queue, a process that was down.
    pub waited: u64,
}

/// One step.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Phase {
    /// What it is called.
    pub label: String,
    /// When it began first, nanoseconds since 1970.
    pub start: u64,
    /// When it had ended last.
    pub end: u64,
    /// How often it was tried, attempts at its calls included.
    pub tries: usize,
    /// Whether the last try of it failed.
    pub failed: bool,
    /// Nanoseconds during which nothing below it was under way.
    pub own: u64,
    /// Nanoseconds of it on the critical path.
    pub critical: u64,
    /// Who had those, most first.
    pub shares: Vec<Share>,
}

/// What one service has of a step's critical time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// The service.
    pub by: String,
    /// Its nanoseconds.
    pub time: u64,
}

impl Account {
    /// Takes account of a forest.
    pub fn of(forest: &Forest) -> Account {
        let nodes = &forest.nodes;
        let story = |node: &&Node| !node.missing && !node.span.attribute(STORY).is_empty();
        let last = nodes.iter().filter(story).map(|node| node.span.end).max();
        let last = last.or_else(|| nodes.iter().map(|node| node.until).max());
        let mut account = Account {
            from: nodes.iter().map(|node| node.span.start).min().unwrap_or_default(),
            to: last.unwrap_or_default(),
            critical: vec![0; nodes.len()],
            ..Account::default()
        };
        let (from, to) = (account.from, account.to);
        account.walk(forest, None, from, to);
        account.phases = phases(forest, &account.critical);
        let in_steps: u64 = account.phases.iter().map(|phase| phase.critical).sum();
        let on_path: u64 = account.critical.iter().sum();
        account.between = on_path - in_steps;
        account
    }

    /// Follows the critical path through a node from `to` back to `from`.
    fn walk(&mut self, forest: &Forest, at: Option<usize>, from: u64, to: u64) {
        let children = at.map_or(&forest.roots, |at| &forest.nodes[at].children);
        let mut latest = children.clone();
        latest.sort_by_key(|child| std::cmp::Reverse(forest.nodes[*child].until));
        let mut now = to;
        for child in latest {
            let node = &forest.nodes[child];
            let (start, end) = (node.span.start.max(from), node.until.min(now));
            if start >= end {
                continue;
            }
            self.spend(forest, at, end, now);
            self.walk(forest, Some(child), start, end);
            now = start;
        }
        self.spend(forest, at, from, now);
    }

    /// Time in which no child was under way: the node's own, as long as it was under way itself.
    fn spend(&mut self, forest: &Forest, at: Option<usize>, from: u64, to: u64) {
        let own = at.map_or(0, |at| {
            let node = &forest.nodes[at];
            let (start, end) = (node.span.start.max(from), node.span.end.min(to));
            let own = if node.missing { 0 } else { end.saturating_sub(start) };
            self.critical[at] += own;
            own
        });
        self.waited += to.saturating_sub(from) - own;
    }
}

/// The steps: what the first call does before the story, then each step of it. Where there is no
/// story, what lies right below the roots.
fn phases(forest: &Forest, critical: &[u64]) -> Vec<Phase> {
    let step = |node: &Node| {
        let of = |name: &&str| node.span.attributes.get(*name).cloned();
        STEP.iter().find_map(of)
    };
    let told = forest.nodes.iter().any(|node| step(node).is_some());
    let mut phases: Vec<(Phase, BTreeMap<String, u64>)> = Vec::new();
    let mut order: Vec<usize> = (0..forest.nodes.len()).collect();
    order.sort_by_key(|index| forest.nodes[*index].span.start);
    for index in order {
        let node = &forest.nodes[index];
        let label = match step(node) {
            Some(label) => label,
            None if !told && node.depth == 1 => short(&node.span.name).to_owned(),
            None => continue,
        };
        if phases.last().is_none_or(|(phase, _)| phase.label != label) {
            let phase = Phase { label, start: node.span.start, ..Phase::default() };
            phases.push((phase, BTreeMap::new()));
        }
        if let Some((phase, shares)) = phases.last_mut() {
            add(phase, shares, forest, index, critical);
        }
    }
    let steps =
        phases.into_iter().map(|(phase, shares)| Phase { shares: ordered(shares), ..phase });
    told.then(|| opening(forest, critical)).flatten().into_iter().chain(steps).collect()
}

/// The call that a story began with, as far as it is not the story itself.
fn opening(forest: &Forest, critical: &[u64]) -> Option<Phase> {
    let first = *forest.roots.first()?;
    let root = &forest.nodes[first];
    if root.missing || is_story(root) {
        return None;
    }
    let story = |index: usize| is_story(&forest.nodes[index]);
    let told: Vec<_> =
        forest.below(first).filter(|at| story(*at)).map(|at| forest.below(at)).collect();
    let own = forest.below(first).filter(|at| !told.iter().any(|story| story.contains(at)));
    let mut shares = BTreeMap::new();
    let mut phase = Phase {
        label: short(&root.span.name).to_owned(),
        start: root.span.start,
        end: root.span.end,
        tries: 1,
        failed: root.span.failed,
        own: root.own,
        ..Phase::default()
    };
    for at in own.filter(|at| critical[*at] > 0) {
        phase.critical += critical[at];
        *shares.entry(forest.nodes[at].by.clone()).or_default() += critical[at];
    }
    Some(Phase { shares: ordered(shares), ..phase })
}

/// Whether a span is a whole story, and not only a part of one.
fn is_story(node: &Node) -> bool {
    let names = |name: &&str| !node.span.attribute(name).is_empty();
    node.span.kind == Kind::Internal && names(&STORY) && !STEP.iter().any(names)
}

fn add(
    phase: &mut Phase,
    shares: &mut BTreeMap<String, u64>,
    forest: &Forest,
    index: usize,
    critical: &[u64],
) {
    let node = &forest.nodes[index];
    phase.end = phase.end.max(node.span.end);
    phase.own += node.own;
    phase.tries += 1;
    phase.failed = node.span.failed;
    for below in forest.below(index) {
        let it = &forest.nodes[below];
        // The first attempt is the call itself.
        let attempt: usize = it.span.attribute("attempt").parse().unwrap_or_default();
        phase.tries += usize::from(attempt > 1);
        phase.failed |= it.depth == node.depth + 1 && it.span.failed;
        phase.critical += critical[below];
        if critical[below] > 0 {
            *shares.entry(it.by.clone()).or_default() += critical[below];
        }
    }
}

fn ordered(shares: BTreeMap<String, u64>) -> Vec<Share> {
    let mut shares: Vec<_> = shares.into_iter().map(|(by, time)| Share { by, time }).collect();
    shares.sort_by_key(|share| std::cmp::Reverse(share.time));
    shares
}

/// `shop.orders.v1.OrdersService/PlaceOrder` without its package and service.
fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
