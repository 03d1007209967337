//! All services' log lines, merged by time and searched by what they are about.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use meshctl::services;
use serde_json::{Map, Value};

use super::logs::{INTERVAL, names};
use crate::output::{self, Tone, toned};

/// The log of the process that several services share.
const SHARED: &str = "in-process";
/// Fields that name an order.
const ORDER: [&str; 3] = ["order_id", "saga_id", "key"];
/// Fields that have a place of their own in a line.
const PLACED: [&str; 5] = ["timestamp", "level", "target", "message", "service"];

/// Which lines.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Search {
    /// Only what is about this order, and what was logged in the traces of its story.
    #[arg(long, value_name = "ID", requires = "all", conflicts_with_all = ["request", "trace"])]
    order: Option<String>,
    /// Only what this request led to, and what was logged in its traces. Also takes a correlation id.
    #[arg(long, value_name = "ID", requires = "all", conflicts_with = "trace")]
    request: Option<String>,
    /// Only what was logged in this trace.
    #[arg(long, value_name = "ID", requires = "all")]
    trace: Option<String>,
    /// Print JSON and nothing else, one object a line.
    #[arg(long, requires = "all")]
    json: bool,
}

/// Prints what fits. Exits 1 if nothing does.
pub(super) async fn run(logs: &Path, search: &Search, follow: bool) -> Result<ExitCode> {
    let mut found = Found::default();
    if search.order.is_some() || search.request.is_some() {
        // Lines before the one that names the order belong to its traces, too.
        let mut first = Merge::open(logs)?;
        while let Some(line) = first.next()? {
            found.learn(search, &line);
        }
    }
    let mut merge = Merge::open(logs)?;
    let width = merge.width();
    let mut shown = 0_u64;
    loop {
        while let Some(line) = merge.next()? {
            found.learn(search, &line);
            if found.fits(search, &line) {
                shown += 1;
                output::put(&if search.json { line.json()? } else { line.text(width) })?;
            }
        }
        if !follow {
            break;
        }
        tokio::time::sleep(INTERVAL).await;
    }
    let Some((what, id)) = search.what() else { return Ok(ExitCode::SUCCESS) };
    if shown == 0 {
        bail!(
            "no line of any service is about the {what} {id}: `{} trace {id}` looks for its spans; \
             logs of an earlier `up` end in .log.old in {}",
            output::program(),
            logs.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

impl Search {
    fn what(&self) -> Option<(&'static str, &str)> {
        let order = self.order.as_ref().map(|id| ("order", id.as_str()));
        let request = self.request.as_ref().map(|id| ("request", id.as_str()));
        order.or(request).or_else(|| self.trace.as_ref().map(|id| ("trace", id.as_str())))
    }

    /// Whether a line itself names what is looked for.
    fn names(&self, line: &Line) -> bool {
        let is = |field: &str, id: &Option<String>| {
            id.as_ref().is_some_and(|id| line.fields.get(field).is_some_and(|it| it == id.as_str()))
        };
        ORDER.iter().any(|field| is(field, &self.order))
            || is("request_id", &self.request)
            || is("idempotency_key", &self.request)
            || is("correlation_id", &self.request)
            || is("trace_id", &self.trace)
    }
}

/// The traces that lines about what is looked for were logged in.
#[derive(Default)]
struct Found {
    traces: BTreeSet<String>,
}

impl Found {
    fn learn(&mut self, search: &Search, line: &Line) {
        if let Some(trace) = line.fields.get("trace_id").and_then(Value::as_str)
            && search.names(line)
            && !self.traces.contains(trace)
        {
            self.traces.insert(trace.to_owned());
        }
    }

    fn fits(&self, search: &Search, line: &Line) -> bool {
        let of_trace = || {
            let trace = line.fields.get("trace_id").and_then(Value::as_str);
            trace.is_some_and(|trace| self.traces.contains(trace))
        };
        search.what().is_none() || search.names(line) || of_trace()
    }
}

/// One line of a service.
struct Line {
    /// Of the file it is in: `orders`, or `orders.1` for a second replica.
    process: String,
    fields: Map<String, Value>,
}

impl Line {
    /// Text that is no JSON, such as a panic's, is a message.
    fn of(process: &str, text: &str, last: &str) -> Line {
        let fields = match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => fields,
            _ => {
                let pair = |name: &str, value: &str| (name.to_owned(), Value::from(value));
                [pair("timestamp", last), pair("level", "-"), pair("message", text)]
                    .into_iter()
                    .collect()
            }
        };
        Line { process: process.to_owned(), fields }
    }

    fn field(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Who logged it.
    fn service(&self) -> &str {
        let said = self.field("service");
        if self.process == SHARED && !said.is_empty() { said } else { &self.process }
    }

    fn json(mut self) -> Result<String> {
        let service = self.service().to_owned();
        self.fields.insert("service".to_owned(), service.into());
        Ok(format!("{}\n", serde_json::to_string(&self.fields)?))
    }

    /// `10:15:03.123  INFO   orders     order placed  order_id=…`
    fn text(&self, width: usize) -> String {
        let time = self.field("timestamp");
        let time = time.split('T').nth(1).unwrap_or(time).get(..12).unwrap_or(time);
        let level = self.field("level");
        let tone = match level {
            "ERROR" => Tone::Bad,
            "WARN" => Tone::Doubtful,
            _ => Tone::Faint,
        };
        let rest = self.fields.iter().filter(|(name, _)| !PLACED.contains(&name.as_str()));
        let rest = rest.map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        });
        format!(
            "{time:<12}  {}  {}  {}  {}\n",
            toned(&format!("{level:<5}"), tone),
            toned(&format!("{:<width$}", self.service()), Tone::Strong),
            self.field("message").trim_end(),
            toned(&rest.collect::<Vec<_>>().join(" "), Tone::Faint),
        )
    }
}

/// The lines of several files by their time; each file is in order already.
struct Merge {
    sources: Vec<Source>,
}

struct Source {
    process: String,
    reader: BufReader<File>,
    /// What was read of a line that is not complete.
    begun: Vec<u8>,
    /// The time of the last line.
    last: String,
    next: Option<Line>,
}

impl Merge {
    fn open(logs: &Path) -> Result<Merge> {
        let services = services::names()?;
        let mut sources = Vec::new();
        for name in names(logs)? {
            let process = name.trim_end_matches(".log");
            let process = process.strip_suffix(".0").unwrap_or(process).to_owned();
            let stem = process.split('.').next().unwrap_or_default();
            if stem != SHARED && !services.iter().any(|service| service == stem) {
                continue;
            }
            let path = logs.join(&name);
            let file =
                File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let reader = BufReader::new(file);
            let (begun, last) = (Vec::new(), String::new());
            sources.push(Source { process, reader, begun, last, next: None });
        }
        if sources.is_empty() {
            let (logs, program) = (logs.display(), output::program());
            bail!("{logs} has no log of any service: run `{program} up --detach`");
        }
        sources.sort_by(|a, b| a.process.cmp(&b.process));
        Ok(Merge { sources })
    }

    /// The widest name in front of a line.
    fn width(&self) -> usize {
        let names = services::names().unwrap_or_default();
        let processes = self.sources.iter().map(|it| it.process.len());
        names.iter().map(String::len).chain(processes).max().unwrap_or_default()
    }

    /// The next line; none if there is none now.
    fn next(&mut self) -> io::Result<Option<Line>> {
        for source in &mut self.sources {
            if source.next.is_none() {
                source.next = source.read()?;
            }
        }
        let waiting = self.sources.iter_mut().filter(|source| source.next.is_some());
        let first = waiting.min_by(|a, b| a.last.cmp(&b.last));
        Ok(first.and_then(|source| source.next.take()))
    }
}

impl Source {
    fn read(&mut self) -> io::Result<Option<Line>> {
        self.reader.read_until(b'\n', &mut self.begun)?;
        if self.begun.last() != Some(&b'\n') {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&self.begun);
        let line = Line::of(&self.process, text.trim_end(), &self.last);
        let time = line.field("timestamp").to_owned();
        self.begun.clear();
        self.last = time;
        Ok(Some(line))
    }
}
