//! Spans as a tree with times, for people.

use std::fmt::Write as _;

use meshctl::traces::{Account, Answer, Forest, Kind, Node};

use crate::output::{Tone, table, toned};

/// Cells of a bar.
const BAR: usize = 20;
/// Attributes that are told beside a span's name, in this order.
const TOLD: [&str; 6] =
    ["step", "attempt", "kind", "stream", "db.query.summary", "messaging.destination.name"];
/// Traces that are listed beside the story.
const BESIDE: usize = 12;
const NOT_RECEIVED: &str = "
  (not received): the span is not over, its process died before it was sent, or it was dropped
";

/// What to draw.
pub(super) struct Waterfall<'a> {
    pub title: String,
    pub forest: &'a Forest,
    pub account: &'a Account,
}

impl Waterfall<'_> {
    /// Everything, drawn.
    pub fn text(&self) -> String {
        let mut out = self.heading();
        out += &table(&self.tree());
        out += &self.steps();
        if self.forest.nodes.iter().any(|node| node.missing) {
            out += NOT_RECEIVED;
        }
        out
    }

    fn heading(&self) -> String {
        let nodes = &self.forest.nodes;
        let count = |values: Vec<&str>| {
            let mut values = values;
            values.sort_unstable();
            values.dedup();
            values.len()
        };
        let traces = count(nodes.iter().map(|node| node.span.trace_id.as_str()).collect());
        let services = count(nodes.iter().map(|node| node.by.as_str()).collect());
        format!(
            "\n  {}  took {}: {} spans of {services} services in {traces} {}\n\n",
            toned(&self.title, Tone::Strong),
            toned(&millis(self.account.to - self.account.from), Tone::Strong),
            nodes.len(),
            if traces == 1 { "trace" } else { "traces" },
        )
    }

    fn tree(&self) -> Vec<Vec<(String, Tone)>> {
        let titles = ["at", "took", "self", "path", "", "service", "span"];
        let mut rows = vec![titles.map(|title| (title.to_owned(), Tone::Faint)).to_vec()];
        let mut trace = "";
        for (index, node) in self.forest.nodes.iter().enumerate() {
            if node.span.trace_id != trace {
                trace = &node.span.trace_id;
                let mut row = vec![(String::new(), Tone::Plain); 5];
                row.push(("trace".to_owned(), Tone::Faint));
                row.push((trace.to_owned(), Tone::Faint));
                rows.push(row);
            }
            rows.push(self.line(index, node));
        }
        rows
    }

    fn line(&self, index: usize, node: &Node) -> Vec<(String, Tone)> {
        let critical = self.account.critical[index];
        let tone = match () {
            () if node.span.failed => Tone::Bad,
            () if node.missing => Tone::Doubtful,
            () if critical > 0 => Tone::Plain,
            () => Tone::Faint,
        };
        let at = node.span.start.saturating_sub(self.account.from);
        let name = format!("{}{}", "  ".repeat(node.depth), name(node));
        vec![
            (format!("{:>9}", millis(at)), Tone::Faint),
            (format!("{:>9}", millis(node.span.took())), Tone::Plain),
            (format!("{:>9}", millis(node.own)), Tone::Faint),
            (
                if critical > 0 { format!("{:>9} *", millis(critical)) } else { String::new() },
                Tone::Doubtful,
            ),
            (self.bar(node), tone),
            (node.by.clone(), Tone::Plain),
            (name, tone),
        ]
    }

    /// Where the span lies in the whole time.
    fn bar(&self, node: &Node) -> String {
        let whole = (self.account.to - self.account.from).max(1);
        let cell = |moment: u64| {
            let part = moment.saturating_sub(self.account.from).min(whole);
            usize::try_from(u128::from(part) * BAR as u128 / u128::from(whole)).unwrap_or(BAR)
        };
        let begin = cell(node.span.start).min(BAR - 1);
        let end = cell(node.span.end).clamp(begin + 1, BAR);
        format!("{}{}{}", "·".repeat(begin), "█".repeat(end - begin), "·".repeat(BAR - end))
    }

    /// One line for each step, and where its time went.
    fn steps(&self) -> String {
        let account = self.account;
        let titles = ["step", "at", "took", "on the path", "self", "tries", "most of it in"];
        let mut rows = vec![titles.map(|title| (title.to_owned(), Tone::Faint)).to_vec()];
        for phase in &account.phases {
            let shares =
                phase.shares.iter().take(3).map(|it| format!("{} {}", it.by, millis(it.time)));
            rows.push(vec![
                (phase.label.clone(), if phase.failed { Tone::Bad } else { Tone::Strong }),
                (format!("{:>9}", millis(phase.start.saturating_sub(account.from))), Tone::Faint),
                (format!("{:>9}", millis(phase.end - phase.start)), Tone::Plain),
                (format!("{:>11}", millis(phase.critical)), Tone::Plain),
                (format!("{:>9}", millis(phase.own)), Tone::Faint),
                (
                    format!("{:>5}", phase.tries),
                    if phase.tries > 1 { Tone::Doubtful } else { Tone::Faint },
                ),
                (shares.collect::<Vec<_>>().join(", "), Tone::Plain),
            ]);
        }
        let mut rest = |label: &str, time: u64, why: &str| {
            if time > 0 {
                let mut row = vec![(label.to_owned(), Tone::Strong)];
                row.extend([(String::new(), Tone::Plain), (String::new(), Tone::Plain)]);
                row.push((format!("{:>11}", millis(time)), Tone::Plain));
                row.extend([(String::new(), Tone::Plain), (String::new(), Tone::Plain)]);
                row.push((why.to_owned(), Tone::Faint));
                rows.push(row);
            }
        };
        rest("between steps", account.between, "outcomes are recorded, and the next step chosen");
        rest(
            "waiting",
            account.waited,
            "no span is under way: a pause, a queue, or a process was down",
        );
        format!("\n{}", table(&rows))
    }
}

/// The title of what came so much later.
pub(super) fn later(nanos: u64) -> String {
    format!("and {} later", millis(nanos))
}

/// Traces that only mention what was asked for, by their first spans; times count from `begun`.
pub(super) fn beside(forest: &Forest, begun: u64, answer: &Answer) -> String {
    let mut out = String::new();
    let roots: Vec<_> = forest.roots.iter().map(|root| &forest.nodes[*root]).collect();
    if !roots.is_empty() {
        let _ =
            writeln!(out, "\n  {}", toned("beside it, calls that name the same id", Tone::Faint));
        let rows: Vec<_> = roots.iter().take(BESIDE).map(|node| beside_line(node, begun)).collect();
        out += &table(&rows);
    }
    let more = roots.len().saturating_sub(BESIDE) + answer.left_out;
    if more > 0 {
        let _ = writeln!(out, "  and {more} more");
    }
    if answer.about.dropped_traces > 0 {
        let count = answer.about.dropped_traces;
        let _ = writeln!(out, "\n  {count} older traces gave way to newer ones");
    }
    out
}

fn beside_line(node: &Node, begun: u64) -> Vec<(String, Tone)> {
    let (sign, at) = match node.span.start.checked_sub(begun) {
        Some(at) => ("", at),
        None => ("-", begun - node.span.start),
    };
    vec![
        (format!("{:>9}", format!("{sign}{}", millis(at))), Tone::Faint),
        (format!("{:>9}", millis(node.span.took())), Tone::Plain),
        (node.by.clone(), Tone::Plain),
        (name(node), Tone::Plain),
        (node.span.trace_id.clone(), Tone::Faint),
    ]
}

/// What a span is, in a few words.
fn name(node: &Node) -> String {
    let span = &node.span;
    let short = span.name.rsplit('/').next().unwrap_or(&span.name);
    let mark = match span.kind {
        Kind::Client => "→ ",
        Kind::Producer => "⇒ ",
        Kind::Consumer => "⇐ ",
        Kind::Server | Kind::Internal => "",
    };
    let mut out = format!("{mark}{short}");
    for value in TOLD.iter().map(|name| span.attribute(name)).filter(|value| !value.is_empty()) {
        let value = value.rsplit('.').next().unwrap_or(value);
        // The span's name may say it already.
        if !out.contains(value) {
            let _ = write!(out, " {value}");
        }
    }
    let status = span.attribute("rpc.response.status_code");
    if !status.is_empty() && status != "OK" {
        let _ = write!(out, " {status}");
    }
    if !span.message.is_empty() {
        let _ = write!(out, " ({})", span.message);
    }
    for event in &span.events {
        let _ = write!(out, " [{}]", event.name);
    }
    for link in &span.links {
        let _ = write!(out, " ⤷ {}", link.trace_id.get(..8).unwrap_or_default());
    }
    out
}

/// Nanoseconds as milliseconds, or seconds.
fn millis(nanos: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "rounded for people")]
    let millis = nanos as f64 / 1e6;
    match millis {
        0.0..10_000.0 => format!("{millis:.1} ms"),
        _ => format!("{:.1} s", millis / 1000.0),
    }
}
