//! Prometheus' text format, as families of series.

use std::collections::{BTreeMap, BTreeSet};

/// Labels of one series; those of a histogram's parts are one, without the bucket.
type Labels = Vec<(String, String)>;

/// One metric.
pub struct Family {
    /// As `# TYPE` says.
    pub kind: String,
    pub series: BTreeSet<Labels>,
}

impl Family {
    /// Every label of every series.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.series.iter().flatten().map(|(label, value)| (label.as_str(), value.as_str()))
    }
}

/// Metrics by their names.
pub fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::new();
    let mut name = "";
    for line in text.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (of, kind) = typed.split_once(' ').unwrap();
            name = of;
            let family = Family { kind: kind.to_owned(), series: BTreeSet::new() };
            families.insert(name.to_owned(), family);
        } else if !line.starts_with('#') {
            // Samples follow the line that gives their type.
            let family = families.get_mut(name).unwrap_or_else(|| panic!("no type before {line}"));
            assert!(line.starts_with(name), "{line} is none of {name}");
            family.series.insert(labels(line));
        }
    }
    families
}

fn labels(line: &str) -> Labels {
    let Some((_, rest)) = line.split_once('{') else { return Vec::new() };
    let (mut rest, mut labels) = (rest, Vec::new());
    while let Some((label, quoted)) = rest.split_once("=\"") {
        let end = end_of(quoted);
        if label != "le" {
            labels.push((label.to_owned(), quoted[..end].to_owned()));
        }
        rest = quoted[end + 1..].trim_start_matches(',');
    }
    labels
}

/// Where a quoted value ends: at the first quote that is not escaped.
fn end_of(quoted: &str) -> usize {
    let mut escaped = false;
    let end = quoted.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.expect("a value ends with a quote")
}

#[test]
fn buckets_of_one_histogram_are_one_series() {
    let text = "# HELP a A.\n# TYPE a histogram\na_bucket{m=\"x/y\",le=\"1\"} 1\n\
                a_bucket{m=\"x/y\",le=\"+Inf\"} 2\na_sum{m=\"x/y\"} 2\na_count{m=\"x/y\"} 2\n\
                # TYPE b gauge\nb 1\n# TYPE c gauge\nc{w=\"a \\\"b\\\", {c=}\",v=\"d\"} 1\n";

    let families = families(text);

    assert_eq!(families["a"].kind, "histogram");
    assert_eq!(families["a"].labels().collect::<Vec<_>>(), [("m", "x/y")]);
    assert_eq!(families["b"].series.len(), 1);
    let c: Vec<_> = families["c"].labels().collect();
    assert_eq!(c, [("w", "a \\\"b\\\", {c=}"), ("v", "d")]);
}
