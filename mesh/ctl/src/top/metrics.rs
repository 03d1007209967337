//! Metrics in Prometheus' text format.

use std::collections::{BTreeMap, HashMap};

/// What one process counts.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    series: Vec<Series>,
}

#[derive(Clone, Debug)]
struct Series {
    /// Name and labels, as they were written.
    key: String,
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Buckets by their upper bounds, each with all that is below it.
#[derive(Clone, Debug, Default)]
pub struct Buckets(Vec<(f64, f64)>);

impl Metrics {
    /// Reads a page. Lines that cannot be read are passed over.
    pub fn parse(text: &str) -> Metrics {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Metrics { series: lines.filter_map(Series::parse).collect() }
    }

    /// All that several processes count, together.
    pub fn of_all(pages: impl IntoIterator<Item = Metrics>) -> Metrics {
        Metrics { series: pages.into_iter().flat_map(|page| page.series).collect() }
    }

    /// What was counted since an earlier page. A process that was started again began at zero.
    pub fn since(&self, before: &Metrics) -> Metrics {
        let old: HashMap<&str, f64> =
            before.series.iter().map(|series| (series.key.as_str(), series.value)).collect();
        let mut since = self.clone();
        for series in &mut since.series {
            let before = old.get(series.key.as_str()).copied().unwrap_or_default();
            if before <= series.value {
                series.value -= before;
            }
        }
        since
    }

    /// The series of this name and of this service, as far as they say whose they are.
    fn of<'a>(&'a self, name: &'a str, service: &'a str) -> impl Iterator<Item = &'a Series> {
        self.series.iter().filter(move |series| {
            series.name == name && series.labels.get("service").is_none_or(|it| it == service)
        })
    }

    /// The sum over all series that fit; none if there is no such series.
    pub fn sum(
        &self,
        name: &str,
        service: &str,
        fits: impl Fn(&BTreeMap<String, String>) -> bool,
    ) -> Option<f64> {
        let values = self.of(name, service).filter(|it| fits(&it.labels)).map(|it| it.value);
        values.reduce(|a, b| a + b)
    }

    /// The largest of all series; none if there is no such series.
    pub fn largest(&self, name: &str, service: &str) -> Option<f64> {
        self.of(name, service).map(|series| series.value).reduce(f64::max)
    }

    /// A histogram over all series that fit.
    pub fn buckets(
        &self,
        name: &str,
        service: &str,
        fits: impl Fn(&BTreeMap<String, String>) -> bool,
    ) -> Buckets {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for series in self.of(&format!("{name}_bucket"), service).filter(|it| fits(&it.labels)) {
            let Some(bound) = series.labels.get("le").and_then(|bound| bound.parse().ok()) else {
                continue;
            };
            match buckets.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, count)) => *count += series.value,
                None => buckets.push((bound, series.value)),
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        Buckets(buckets)
    }
}

impl Buckets {
    /// The buckets themselves.
    pub fn counts(&self) -> &[(f64, f64)] {
        &self.0
    }

    /// The value that this share of all is below, as Prometheus reads it: evenly within a bucket.
    /// None if nothing was counted.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let all = self.0.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
        let rank = share * all;
        let (mut lower, mut below) = (0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= rank {
                let within = (rank - below) / (count - below).max(f64::MIN_POSITIVE);
                return Some(if bound.is_finite() {
                    lower + (bound - lower) * within
                } else {
                    lower
                });
            }
            (lower, below) = (*bound, *count);
        }
        None
    }
}

impl Series {
    fn parse(line: &str) -> Option<Series> {
        let (name, rest) = match line.split_once('{') {
            Some((name, rest)) if !name.contains(' ') => (name, rest),
            _ => {
                let (name, value) = line.split_once(' ')?;
                return Series::new(name, BTreeMap::new(), name, value);
            }
        };
        let mut labels = BTreeMap::new();
        let mut rest = rest;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = unquote(after)?;
            labels.insert(label.trim_start_matches([',', ' ']).to_owned(), value);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        let value = &rest[1..];
        let key = line.strip_suffix(value).unwrap_or(line);
        Series::new(name, labels, key, value)
    }

    /// The value may be followed by a time or by an exemplar.
    fn new(name: &str, labels: BTreeMap<String, String>, key: &str, rest: &str) -> Option<Series> {
        let value = rest.split_whitespace().next()?.parse().ok()?;
        Some(Series { key: key.to_owned(), name: name.to_owned(), labels, value })
    }
}

/// A label's value up to its quotation mark, and what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"# HELP calls so many
# TYPE calls counter
calls{service="a",code="OK"} 10
calls{service="a",code="a \"}, \\ b"} 5 # {trace_id="0af7"} 1 1700000000
calls{service="b",code="OK"} 3
up 1
took_bucket{service="a",le="0.1"} 50
took_bucket{service="a",le="0.2"} 100
took_bucket{service="a",le="+Inf"} 100
broken{service="a
"#;

    #[test]
    fn series_are_summed_by_service_and_label() {
        let metrics = Metrics::parse(PAGE);

        assert_eq!(metrics.sum("calls", "a", |_| true), Some(15.0));
        assert_eq!(metrics.sum("calls", "a", |labels| labels["code"] == "a \"}, \\ b"), Some(5.0));
        assert_eq!(metrics.sum("up", "a", |_| true), Some(1.0));
        assert_eq!(metrics.sum("broken", "a", |_| true), None);
        assert_eq!(metrics.largest("calls", "b"), Some(3.0));
    }

    #[test]
    fn what_was_counted_before_a_restart_is_not_taken_off() {
        let before = Metrics::parse("calls{service=\"a\"} 10\nother 7\n");
        let after = Metrics::parse("calls{service=\"a\"} 25\nother 2\nnew 4\n").since(&before);

        assert_eq!(after.sum("calls", "a", |_| true), Some(15.0));
        assert_eq!(after.sum("other", "a", |_| true), Some(2.0));
        assert_eq!(after.sum("new", "a", |_| true), Some(4.0));
    }

    #[test]
    fn quantiles_lie_evenly_within_buckets() {
        let buckets = Metrics::parse(PAGE).buckets("took", "a", |_| true);

        let near = |share, value: f64| (buckets.quantile(share).unwrap() - value).abs() < 1e-9;
        assert!(near(0.25, 0.05) && near(0.5, 0.1) && near(0.75, 0.15) && near(1.0, 0.2));
        let beyond = Metrics::parse("took_bucket{le=\"1\"} 0\ntook_bucket{le=\"+Inf\"} 4\n");
        assert_eq!(beyond.buckets("took", "a", |_| true).quantile(0.5), Some(1.0));
        assert_eq!(Buckets::default().quantile(0.5), None);
    }
}
