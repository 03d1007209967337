//! Every metric that a panel or a rule asks for is exported by something. Many queries end in
//! `or vector(0)`: one of a metric that does not exist would look as if all were well.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mesh_testkit::workspace;
use meshctl::generate::observe::{Clock, dashboards, rule_files};
use serde_json::Value;

use super::declarations;

/// What Prometheus itself keeps.
const OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];
/// They read metrics, and make none of a service's.
const READERS: [&str; 2] = ["mesh/ctl", "mesh/testkit"];
/// What makes an instrument, and what Prometheus' names of such a one end with.
const MAKERS: [(&str, &[&str]); 6] = [
    ("up_down_counter(", &[""]),
    ("_counter(", &["_total"]),
    ("gauge(", &[""]),
    ("histogram(", &PARTS),
    ("seconds(", &PARTS),
    ("counts(", &PARTS),
];
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];
/// Units that become a part of the name.
const UNITS: [(&str, &str); 2] = [("s", "_seconds"), ("By", "_bytes")];
/// Words of PromQL; a list of labels in brackets may follow the first six.
const WORDS: [&str; 11] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "and",
    "or",
    "unless",
    "bool",
    "offset",
];

#[test]
fn every_metric_of_a_panel_or_a_rule_is_one_that_something_exports() {
    let (recorded, rules) = rules();
    let exported = exported();
    let panels = dashboards().into_iter().flat_map(|board| {
        board.panels.into_iter().flat_map(move |panel| {
            let place = format!("\"{}\" of \"{}\"", panel.title, board.title);
            panel.targets.into_iter().map(move |target| (place.clone(), target.expr))
        })
    });
    let mut faults = BTreeSet::new();
    let mut asked = BTreeSet::new();
    for (place, query) in panels.chain(rules) {
        let names = names(&query);
        assert!(!names.is_empty() || query.starts_with("vector("), "{place} asks for nothing");
        for name in names {
            let is_known = match name.contains(':') {
                true => recorded.contains(&name),
                false => OF_PROMETHEUS.contains(&&*name) || exported.contains(&name),
            };
            if !is_known {
                faults.insert(format!("{place} asks for {name}, which nobody exports"));
            }
            asked.insert(name);
        }
    }

    assert!(faults.is_empty(), "{faults:#?}");
    assert!(asked.len() > 40, "{asked:?}");
}

#[test]
fn names_are_told_from_functions_labels_and_words() {
    let query = "histogram_quantile(0.99, sum by (service, le) \
                 (rate(a_b_bucket{service=\"$service\",x=~\"y|z{1}\"}[$__rate_interval]))) \
                 or 0 * sum (rate(c_total[5m] offset 1h)) unless on (job) slo:left{of=\"d\"} > bool 1e3 \
                 and max without (e) (label_replace(vector(0), \"f\", \"$1\", \"g\", \"(.+)\"))";

    let asked = names(query);

    assert_eq!(asked, ["a_b_bucket", "c_total", "slo:left"].map(str::to_owned).into());
}

#[test]
fn a_metric_is_known_by_no_other_name_than_it_is_exported_by() {
    let source = "meter().u64_counter(\"a.b_c\").build(); meter().f64_gauge(\"d.age\")\n  \
                  .with_unit(\"s\")\n.build(); seconds(\n  \"e.took\", \"Time\"); \
                  meter.i64_up_down_counter(\"f\").with_unit(\"{saga}\").build()";

    let mut names = BTreeSet::new();
    made(source, &mut names);

    let took = PARTS.map(|part| format!("e_took_seconds{part}"));
    let others = ["a_b_c_total", "d_age_seconds", "f"].map(str::to_owned);
    assert_eq!(names, took.into_iter().chain(others).collect());
}

/// The series that rules keep, and what every rule asks for.
fn rules() -> (BTreeSet<String>, Vec<(String, String)>) {
    let (mut recorded, mut asked) = (BTreeSet::new(), Vec::new());
    for (file, text) in rule_files(&declarations(), &Clock::REAL).unwrap() {
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        for group in read["groups"].as_array().unwrap() {
            for rule in group["rules"].as_array().unwrap() {
                let name = rule["record"].as_str().or_else(|| rule["alert"].as_str()).unwrap();
                recorded.extend(rule["record"].as_str().map(str::to_owned));
                let query = rule["expr"].as_str().unwrap().to_owned();
                asked.push((format!("{name} of {file}"), query));
            }
        }
    }
    (recorded, asked)
}

/// The names of series in a query.
fn names(query: &str) -> BTreeSet<String> {
    // A text in it has no quotes of its own.
    let query: String = query.split('"').step_by(2).collect();
    let query = without(&without(&query, '{', '}'), '[', ']');
    let words = words(&query);
    let mut names = BTreeSet::new();
    let mut labels = false;
    for (at, word) in words.iter().enumerate() {
        let after = words.get(at + 1).copied().unwrap_or_default();
        let is_word = WORDS.contains(word);
        let is_function = after == "(" || WORDS[..2].contains(&after);
        let is_name = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if is_name && !labels && !is_word && !is_function {
            names.insert((*word).to_owned());
        }
        labels = match *word {
            "(" => at > 0 && WORDS[..6].contains(&words[at - 1]),
            ")" => false,
            _ => labels,
        };
    }
    names
}

/// A text without what is in these brackets, which are not nested.
fn without(text: &str, open: char, close: char) -> String {
    let mut pieces = text.split(open);
    let begin = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(begin, |text, piece| text + " " + piece.split_once(close).unwrap().1)
}

/// Names, numbers and brackets, in order.
fn words(text: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len()).max(first.len_utf8());
        words.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    words
}

/// The names under which Prometheus finds what the sources measure.
fn exported() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["mesh", "services"] {
        for entry in fs::read_dir(workspace().join(folder)).unwrap() {
            let part = entry.unwrap().path();
            if !READERS.iter().any(|reader| part.ends_with(reader)) {
                for source in sources(&part.join("src")) {
                    made(&fs::read_to_string(source).unwrap(), &mut names);
                }
            }
        }
    }
    names
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let of = |path: PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
    let all = entries.flat_map(of);
    all.filter(|path| path.extension().is_some_and(|kind| kind == "rs")).collect()
}

/// Adds the names of the instruments that a source makes.
fn made(source: &str, names: &mut BTreeSet<String>) {
    for (maker, ends) in MAKERS {
        for (at, _) in source.match_indices(maker) {
            let rest = source[at + maker.len()..].trim_start();
            let is_other = maker == "_counter(" && source[..at].ends_with("up_down");
            let Some(rest) = rest.strip_prefix('"').filter(|_| !is_other) else { continue };
            let (name, rest) = rest.split_once('"').unwrap();
            let said = rest.split(".build()").next().unwrap_or_default();
            let is_its = |unit: &str| match maker {
                "seconds(" => unit == "s",
                "counts(" => false,
                _ => said.contains(&format!("with_unit(\"{unit}\")")),
            };
            let unit = UNITS.iter().find(|(unit, _)| is_its(unit)).map_or("", |(_, name)| name);
            let name = name.replace('.', "_") + unit;
            names.extend(ends.iter().map(|end| format!("{name}{end}")));
        }
    }
}
