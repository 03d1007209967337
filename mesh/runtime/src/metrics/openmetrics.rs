//! Prometheus' families in the text format of
//! [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/), which can carry
//! exemplars, as its older format cannot.

use std::fmt::{self, Write as _};

use prometheus::proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::exemplars::{self, Exemplar};

/// What a scraper that understands it asks for, and what it is answered.
pub(crate) const TYPE: &str = "application/openmetrics-text";
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TOTAL: &str = "_total";

/// Writes all families, and the mark that none is missing.
pub(super) fn encode(families: &[MetricFamily]) -> Result<String, fmt::Error> {
    let mut text = String::new();
    for family in families {
        self::family(&mut text, family)?;
    }
    text.push_str("# EOF\n");
    Ok(text)
}

fn family(text: &mut String, family: &MetricFamily) -> fmt::Result {
    let kind = family.get_field_type();
    let (name, kind_name) = match kind {
        // A counter's family lacks the suffix that its samples have.
        MetricType::COUNTER => (family.name().strip_suffix(TOTAL), "counter"),
        MetricType::GAUGE => (Some(family.name()), "gauge"),
        MetricType::HISTOGRAM => (Some(family.name()), "histogram"),
        _ => (None, "unknown"),
    };
    let Some(name) = name else {
        return unknown(text, family);
    };
    writeln!(text, "# TYPE {name} {kind_name}")?;
    if name.ends_with("_seconds") {
        writeln!(text, "# UNIT {name} seconds")?;
    }
    help(text, name, family)?;
    for metric in family.get_metric() {
        match kind {
            MetricType::COUNTER => {
                sample(text, name, TOTAL, metric, metric.get_counter().get_value())?;
            }
            MetricType::GAUGE => sample(text, name, "", metric, metric.get_gauge().get_value())?,
            _ => histogram(text, name, metric)?,
        }
    }
    Ok(())
}

/// One whose kind this format has no place for keeps its name and its value.
fn unknown(text: &mut String, family: &MetricFamily) -> fmt::Result {
    writeln!(text, "# TYPE {} unknown", family.name())?;
    help(text, family.name(), family)?;
    for metric in family.get_metric() {
        sample(text, family.name(), "", metric, metric.get_counter().get_value())?;
    }
    Ok(())
}

fn help(text: &mut String, name: &str, family: &MetricFamily) -> fmt::Result {
    match family.help() {
        "" => Ok(()),
        help => writeln!(text, "# HELP {name} {}", Escaped(help)),
    }
}

fn histogram(text: &mut String, name: &str, metric: &Metric) -> fmt::Result {
    let histogram = metric.get_histogram();
    let labels = metric.get_label().iter().map(|it| (it.name(), it.value().to_owned()));
    let exemplars = exemplars::of(name, labels);
    let mut below = f64::NEG_INFINITY;
    for bucket in histogram.get_bucket() {
        let bound = bucket.upper_bound();
        if bound.is_finite() {
            let le = bound.to_string();
            self::bucket(text, name, metric, &le, bucket.cumulative_count())?;
            exemplar(text, &exemplars, below, bound)?;
            below = bound;
        }
    }
    self::bucket(text, name, metric, "+Inf", histogram.get_sample_count())?;
    exemplar(text, &exemplars, below, f64::INFINITY)?;
    count_and_sum(text, name, metric, histogram)
}

fn count_and_sum(
    text: &mut String,
    name: &str,
    metric: &Metric,
    histogram: &Histogram,
) -> fmt::Result {
    sample(text, name, "_count", metric, histogram.get_sample_count() as f64)?;
    sample(text, name, "_sum", metric, histogram.get_sample_sum())
}

fn bucket(text: &mut String, name: &str, metric: &Metric, le: &str, count: u64) -> fmt::Result {
    write!(text, "{name}_bucket")?;
    labels(text, metric.get_label(), Some(le))?;
    write!(text, " {count}")
}

/// Ends a bucket's line with the exemplar that lies in it, if there is one.
fn exemplar(text: &mut String, all: &[Exemplar], above: f64, upto: f64) -> fmt::Result {
    let within = |it: &&Exemplar| it.seconds > above && it.seconds <= upto;
    if let Some(Exemplar { seconds, place, nanos }) = all.iter().find(within) {
        let (trace, span) = (place.trace_id, place.span_id);
        let (since, millis) = (nanos / 1_000_000_000, nanos / 1_000_000 % 1_000);
        write!(
            text,
            " # {{trace_id=\"{trace:032x}\",span_id=\"{span:016x}\"}} {seconds} {since}.{millis:03}"
        )?;
    }
    text.push('\n');
    Ok(())
}

fn sample(text: &mut String, name: &str, suffix: &str, metric: &Metric, value: f64) -> fmt::Result {
    write!(text, "{name}{suffix}")?;
    labels(text, metric.get_label(), None)?;
    writeln!(text, " {}", Number(value))
}

fn labels(text: &mut String, pairs: &[LabelPair], le: Option<&str>) -> fmt::Result {
    let pairs = pairs.iter().map(|pair| (pair.name(), pair.value()));
    for (n, (name, value)) in pairs.chain(le.map(|le| ("le", le))).enumerate() {
        let before = if n == 0 { '{' } else { ',' };
        write!(text, "{before}{name}=\"{}\"", Escaped(value))?;
    }
    if le.is_some() || text.ends_with('"') {
        text.push('}');
    }
    Ok(())
}

/// A number as the format spells those that are none.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            it if it.is_nan() => f.write_str("NaN"),
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            it => it.fmt(f),
        }
    }
}

/// A text in which backslashes, quotes and ends of lines are escaped.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            letter => f.write_char(letter),
        })
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::KeyValue;

    use super::super::{meter, render_open, seconds};
    use crate::trace::TraceContext;

    /// The lines about one family.
    fn lines_of(name: &str) -> Vec<String> {
        let text = render_open().unwrap();
        assert!(text.ends_with("\n# EOF\n"), "{text}");
        text.lines().filter(|line| line.contains(name)).map(str::to_owned).collect()
    }

    #[test]
    fn a_bucket_names_the_trace_of_its_latest_measurement() {
        let histogram = seconds("test.open", "Opened");
        let bound = histogram.bind(&[KeyValue::new("door", "a\"b\\c\nd")]);
        bound.record(0.003, Some(TraceContext { trace_id: 0xab, span_id: 0xcd, sampled: true }));
        bound.record(0.7, Some(TraceContext { trace_id: 0xab, span_id: 0xcd, sampled: false }));

        let lines = lines_of("test_open");
        assert_eq!(lines[0], "# TYPE test_open_seconds histogram");
        assert_eq!(lines[1], "# UNIT test_open_seconds seconds");
        assert_eq!(lines[2], "# HELP test_open_seconds Opened");
        let named: Vec<_> = lines.iter().filter(|line| line.contains("trace_id")).collect();
        let [bucket] = named[..] else { panic!("{named:?}") };
        let begin = "test_open_seconds_bucket{door=\"a\\\"b\\\\c\\nd\",le=\"0.005\"} 1 # \
                     {trace_id=\"000000000000000000000000000000ab\",span_id=\"00000000000000cd\"} \
                     0.003 ";
        let time = bucket.strip_prefix(begin).unwrap_or_else(|| panic!("{bucket}"));
        assert!(time.parse::<f64>().unwrap() > 1.7e9, "{time}");
        let end = lines.iter().find(|line| line.contains("+Inf")).unwrap();
        assert!(end.ends_with("le=\"+Inf\"} 2"), "{end}");
        assert!(
            lines
                .iter()
                .any(|line| line.contains("test_open_seconds_count{") && line.ends_with(" 2"))
        );
    }

    #[test]
    fn a_counters_family_lacks_the_suffix_of_its_samples() {
        meter().u64_counter("test.doors").build().add(3, &[]);

        let lines = lines_of("test_doors");
        assert_eq!(lines, ["# TYPE test_doors counter", "test_doors_total 3"]);
    }
}
