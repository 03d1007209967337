//! Rules of a service's objectives: how fast each spends its error budget, and who is told.
//!
//! Windows and burn rates are those of Google's SRE workbook, chapter 5: a long window says that it
//! matters, a short one that it goes on. A budget that would be gone in two days pages somebody;
//! one that would not last its window makes a ticket, unless somebody has been paged.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mesh_local::{Declaration, Indicator, Objective};
use mesh_runtime::metrics::SECONDS;
use prost_reflect::{DescriptorPool, MethodDescriptor};

use super::clock::{Clock, shown};
use super::rules::{Alert, Group, Rule, Severity};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Windows over which shares are kept.
const WINDOWS: [Duration; 7] = [
    Duration::from_secs(300),
    Duration::from_secs(1800),
    HOUR,
    Duration::from_secs(7200),
    Duration::from_secs(21_600),
    DAY,
    Duration::from_secs(259_200),
];

/// A pair of windows: who is told when the long one has spent this share of the budget.
struct Burn {
    severity: Severity,
    long: Duration,
    short: Duration,
    /// In percent.
    spent: f64,
}

const BURNS: [Burn; 4] = [
    Burn { severity: Severity::Page, long: WINDOWS[2], short: WINDOWS[0], spent: 2.0 },
    Burn { severity: Severity::Page, long: WINDOWS[4], short: WINDOWS[1], spent: 5.0 },
    Burn { severity: Severity::Ticket, long: WINDOWS[5], short: WINDOWS[3], spent: 10.0 },
    Burn { severity: Severity::Ticket, long: WINDOWS[6], short: WINDOWS[4], spent: 10.0 },
];

/// How a service's own failures end calls, by the semantic conventions of RPC.
pub const FAULTS: &str = "UNKNOWN|DEADLINE_EXCEEDED|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|DATA_LOSS";

/// The rules of one service.
pub(super) fn groups(declaration: &Declaration, clock: &Clock) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    for objective in &declaration.objectives {
        let series = Series::of(declaration, objective).with_context(|| {
            let Objective { name, line, .. } = objective;
            format!("services/{}/mesh.toml, line {line}: objective `{name}`", declaration.service)
        })?;
        let name = format!("{}-{}", declaration.service, objective.name);
        let mut rules = series.records(objective, clock);
        rules.extend(series.alerts(objective));
        groups.push(Group { name, rules });
    }
    let service = &declaration.service;
    let gone = Rule::Alert(Alert {
        name: "ServiceGone",
        expr: format!("absent(up{{job=\"{service}\"}} == 1)"),
        after: Some(clock.window(MINUTE)),
        severity: Severity::Page,
        labels: vec![("service", service.clone())],
        summary: format!("{service}: no process of it answers"),
    });
    groups.push(Group { name: format!("{service}-presence"), rules: vec![gone] });
    Ok(groups)
}

/// What an objective counts, in series.
struct Series {
    service: String,
    objective: String,
    kind: Kind,
}

enum Kind {
    Availability {
        asked: Asked,
    },
    /// With the bound as a matcher.
    Latency {
        asked: Asked,
        bound: String,
    },
    /// Labels of the step, and the bound as a matcher.
    Saga {
        step: String,
        bound: String,
    },
}

impl Series {
    fn of(declaration: &Declaration, objective: &Objective) -> Result<Series> {
        let service = declaration.service.clone();
        let own = format!("job=\"{service}\",service=\"{service}\"");
        let kind = match &objective.what {
            Indicator::Availability => Kind::Availability { asked: Asked::of(declaration, &own)? },
            Indicator::Latency { bound } => {
                Kind::Latency { asked: Asked::of(declaration, &own)?, bound: boundary(*bound)? }
            }
            Indicator::Saga { step, bound } => {
                Kind::Saga { step: format!("{own},step=\"{step}\""), bound: boundary(*bound)? }
            }
        };
        Ok(Series { service, objective: objective.name.clone(), kind })
    }

    /// What counts, per second.
    fn all(&self, window: &str) -> String {
        match &self.kind {
            Kind::Availability { asked } => asked.rate("count", "", window),
            Kind::Latency { asked, .. } => asked.rate("count", asked.good, window),
            Kind::Saga { step, .. } => {
                format!("{}\n  + {}", reached(step, window), late(step, window))
            }
        }
    }

    /// What of it is not good, per second.
    fn bad(&self, window: &str) -> String {
        match &self.kind {
            Kind::Availability { asked } => {
                let of = |faults: &String| {
                    format!("({} or vector(0))", asked.rate("count", faults, window))
                };
                asked.faults.iter().map(of).collect::<Vec<_>>().join("\n  + ")
            }
            Kind::Latency { asked, bound } => {
                let within = asked.rate("bucket", &format!("{},{bound}", asked.good), window);
                format!("{}\n  - {within}", self.all(window))
            }
            Kind::Saga { step, bound } => format!(
                "{}\n  - (sum(rate(mesh_saga_step_reached_seconds_bucket{{{step},{bound}}}\
                 [{window}])) or vector(0))",
                self.all(window)
            ),
        }
    }

    fn labels(&self) -> Vec<(&'static str, String)> {
        vec![("service", self.service.clone()), ("objective", self.objective.clone())]
    }

    fn matchers(&self) -> String {
        format!("service=\"{}\",objective=\"{}\"", self.service, self.objective)
    }

    fn record(&self, name: impl Into<String>, expr: String) -> Rule {
        Rule::Record { name: name.into(), expr, labels: self.labels() }
    }

    /// The shares over each window, and what is left of the budget.
    fn records(&self, objective: &Objective, clock: &Clock) -> Vec<Rule> {
        let mut records: Vec<Rule> = WINDOWS
            .iter()
            .map(|window| {
                let over = clock.window(*window);
                let expr = format!(
                    "(\n  {}\n)\n/\n(\n  (\n  {}\n  ) > 0\n)",
                    self.bad(&over),
                    self.all(&over)
                );
                self.record(ratio(*window), expr)
            })
            .collect();
        let short = clock.window(WINDOWS[0]);
        records.push(self.record("slo:all:rate5m", self.all(&short)));
        records.push(self.record("slo:bad:rate5m", self.bad(&short)));
        let (target, matchers) = (objective.target, self.matchers());
        records.push(self.record("slo:target", format!("vector({target})")));
        let whole = clock.window(DAY * objective.days);
        let left = format!(
            "1 - sum_over_time(slo:bad:rate5m{{{matchers}}}[{whole}])\n  / \
             (sum_over_time(slo:all:rate5m{{{matchers}}}[{whole}]) > 0)\n  / {}",
            budget(target)
        );
        records.push(self.record("slo:budget_left", left));
        records
    }

    fn alerts(&self, objective: &Objective) -> Vec<Rule> {
        let burns = |severity| {
            let some = BURNS.iter().filter(move |burn| burn.severity == severity);
            let conditions: Vec<String> = some.map(|burn| self.burns(objective, burn)).collect();
            conditions.join("\nor\n")
        };
        let page = burns(Severity::Page);
        let ticket = format!("(\n{}\n)\nunless\n(\n{page}\n)", burns(Severity::Ticket));
        let name = match &self.kind {
            Kind::Availability { asked } if asked.is_door() => "DoorFailing",
            Kind::Latency { asked, .. } if asked.is_door() => "DoorSlow",
            Kind::Availability { .. } => "CallsFailing",
            Kind::Latency { .. } => "CallsSlow",
            Kind::Saga { .. } => "SagasSlow",
        };
        let summary = self.summary(objective);
        let alert = |severity, expr| {
            let summary = summary.clone();
            Rule::Alert(Alert { name, expr, after: None, severity, labels: self.labels(), summary })
        };
        vec![alert(Severity::Page, page), alert(Severity::Ticket, ticket)]
    }

    fn burns(&self, objective: &Objective, burn: &Burn) -> String {
        let matchers = self.matchers();
        let whole = (DAY * objective.days).as_secs_f64();
        let rate = burn.spent / 100.0 * whole / burn.long.as_secs_f64();
        let least = format!("{} * {}", rounded(rate), budget(objective.target));
        let (long, short) = (ratio(burn.long), ratio(burn.short));
        format!("(\n  {long}{{{matchers}}} > {least}\nand\n  {short}{{{matchers}}} > {least}\n)")
    }

    fn summary(&self, objective: &Objective) -> String {
        let Objective { name, what, target, days, .. } = objective;
        let (service, share) = (&self.service, rounded(target * 100.0));
        let promise = match what {
            Indicator::Availability => "of calls without a fault".to_owned(),
            Indicator::Latency { bound } => format!("of answers within {}", shown(*bound)),
            Indicator::Saga { step, bound } => {
                format!("of sagas with `{step}` done within {}", shown(*bound))
            }
        };
        format!("{service}: `{name}`, {share}% {promise} over {days}d, spends its budget too fast")
    }
}

fn reached(step: &str, window: &str) -> String {
    format!("(sum(rate(mesh_saga_step_reached_seconds_count{{{step}}}[{window}])) or vector(0))")
}

/// Steps that were given up; those sagas never get there.
fn late(step: &str, window: &str) -> String {
    let of_any_step = step.rsplit_once(",step=").map_or(step, |(labels, _)| labels);
    format!(
        "(sum(rate(mesh_saga_steps_total{{{of_any_step},verdict=\"out_of_time\"}}[{window}])) or vector(0))"
    )
}

fn ratio(window: Duration) -> String {
    format!("slo:bad:ratio_rate{}", shown(window))
}

/// The share that may be bad.
fn budget(target: f64) -> String {
    rounded(1.0 - target)
}

/// Without what binary fractions add.
fn rounded(number: f64) -> String {
    let text = format!("{number:.8}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What a service is asked, as a histogram of its own counts it.
struct Asked {
    histogram: &'static str,
    /// Labels of what counts.
    labels: String,
    /// Those of what was answered as it was asked.
    good: &'static str,
    /// Those of its own failures, of each kind.
    faults: Vec<String>,
}

/// What the door counts, whatever was spoken there.
const DOOR: &str = "http_server_request_duration_seconds";

impl Asked {
    fn of(declaration: &Declaration, own: &str) -> Result<Self> {
        let faults = format!("rpc_response_status_code=~\"{FAULTS}\"");
        if declaration.contract.is_none() {
            // It has no contract: it is the door to those of others. Of gRPC there the HTTP status says
            // nothing, and of JSON there is no other.
            return Ok(Self {
                histogram: DOOR,
                labels: format!("{own},kind=\"unary\""),
                good: "http_response_status_code=\"200\",rpc_response_status_code=~\"OK|\"",
                faults: vec!["http_response_status_code=~\"5..\"".to_owned(), faults],
            });
        }
        Ok(Self {
            histogram: "rpc_server_call_duration_seconds",
            labels: calls(declaration, own)?,
            good: "rpc_response_status_code=\"OK\"",
            faults: vec![faults],
        })
    }

    fn is_door(&self) -> bool {
        self.histogram == DOOR
    }

    /// How often per second it has these labels besides.
    fn rate(&self, part: &str, more: &str, window: &str) -> String {
        let Self { histogram, labels, .. } = self;
        let comma = if more.is_empty() { "" } else { "," };
        format!("sum(rate({histogram}_{part}{{{labels}{comma}{more}}}[{window}]))")
    }
}

/// The labels of a service's calls that count: of its contract, and unary. How long a stream lasts
/// and how it ends is its caller's wish.
fn calls(declaration: &Declaration, own: &str) -> Result<String> {
    let pool = DescriptorPool::decode(shop::DESCRIPTORS).context("the contracts cannot be read")?;
    let services = pool.services().filter(|it| declaration.serves(it.full_name()));
    let methods: Vec<MethodDescriptor> =
        services.flat_map(|it| it.methods().collect::<Vec<_>>()).collect();
    let is_stream = |it: &&MethodDescriptor| it.is_server_streaming() || it.is_client_streaming();
    let mut streams: Vec<String> = methods
        .iter()
        .filter(is_stream)
        .map(|it| format!("{}/{}", it.parent_service().full_name(), it.name()))
        .collect();
    if streams.len() == methods.len() {
        let contract = declaration.packages().collect::<Vec<_>>().join("`, `");
        bail!("the contract `{contract}` has no unary call that it could be about");
    }
    streams.sort();
    let packages = declaration.packages().map(|package| format!("{package}.+"));
    let packages = pattern(&packages.collect::<Vec<_>>().join("|"));
    let mut labels = format!("{own},rpc_method=~\"{packages}\"");
    if !streams.is_empty() {
        labels.push_str(&format!(",rpc_method!~\"{}\"", pattern(&streams.join("|"))));
    }
    Ok(labels)
}

/// A regular expression in which a dot is a dot.
fn pattern(text: &str) -> String {
    text.replace('.', "[.]").replace("[.]+", "[.].+")
}

/// A bound as the matcher of a bucket. Prometheus 3 writes whole numbers with a fraction.
fn boundary(bound: Duration) -> Result<String> {
    let seconds = bound.as_secs_f64();
    if !SECONDS.contains(&seconds) {
        let text = |it: Option<&f64>| it.map(|it| shown(Duration::from_secs_f64(*it)));
        let below = text(SECONDS.iter().rfind(|it| **it < seconds));
        let above = text(SECONDS.iter().find(|it| **it > seconds));
        let near: Vec<String> = [below, above].into_iter().flatten().collect();
        bail!(
            "no histogram has a boundary at {}: the nearest are {}",
            shown(bound),
            near.join(" and ")
        );
    }
    Ok(match seconds.fract() == 0.0 {
        true => format!("le=~\"{seconds}([.]0)?\""),
        false => format!("le=\"{seconds}\""),
    })
}

#[cfg(test)]
mod tests;
