//! What Istio is told, taken away or changed one rule at a time while the shop runs: calls show each, or the
//! Envoy of whoever calls, which holds to it. What neither can show is named with the test that does
//! (`rules.rs`).
//!
//! A change of one service's objects shows in calls of that service, so that one of each service is made
//! at a time; then all is as it was, and calls show that as well. `CLAIMS=retries,mTLS` makes those only
//! that are seen by what these words say.

mod failing;
mod given;
mod notice;
mod rules;
mod seen;
mod told;

use std::{collections::BTreeMap, fs, panic::AssertUnwindSafe, time::Instant};

use futures::FutureExt as _;
use mesh_testkit::workspace;
use serde_json::Value;

use super::lab::Lab;
use crate::manifests::world::documents;
use notice::Ground;
use rules::{How, RULES, Shows};
use seen::Seen;

/// One change of one object.
#[derive(Clone)]
struct Change {
    /// Whose calls show it.
    service: String,
    /// The object as it is shipped.
    shipped: Value,
    /// As it is now; none if it is gone.
    changed: Option<Value>,
    shows: Seen,
    says: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_changed_or_left_out_calls_show_it() {
    let (changes, elsewhere) = changes(&shipped());
    assert!(changes.len() > 200, "{} changes", changes.len());
    let Some(lab) = Lab::with_shop("mutations", &[]).await else { return };
    let begun = Instant::now();
    let ground = Ground::prepare(&lab).await;
    let (mut survivors, count) = (Vec::new(), changes.len());
    let wanted = std::env::var("CLAIMS").unwrap_or_default();
    let is_wanted = |seen: Seen| wanted.split(',').any(|part| seen.says().contains(part));
    for (seen, of_it) in by_what_is_seen(changes).into_iter().filter(|(it, _)| is_wanted(*it)) {
        let (begun, count) = (Instant::now(), of_it.len());
        let tried = AssertUnwindSafe(ground.tried(seen, of_it)).catch_unwind().await;
        let alive = tried.unwrap_or_else(|_| {
            vec![format!("{}: whatever else would have been changed", seen.says()); count]
        });
        let (killed, seconds) = (count - alive.len(), begun.elapsed().as_secs());
        println!("  {:<60}  {killed} of {count} seen  ({seconds} s)", seen.says());
        survivors.extend(alive);
    }
    let seconds = begun.elapsed().as_secs();
    println!(
        "  {count} changes in {seconds} s, {elsewhere} more are left to tests of the manifests"
    );
    assert!(survivors.is_empty(), "no call shows\n{}", survivors.join("\n"));
}

/// The objects as they lie in the tree, with the names of the files.
fn shipped() -> Vec<(String, Value)> {
    let folder = workspace().join("istio/generated");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        if name != "kustomization" {
            let text = fs::read_to_string(&file).unwrap();
            all.extend(documents(&text).into_iter().map(|object| (name.clone(), object)));
        }
    }
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
}

/// Every change that a rule names, and how many are left to other tests.
fn changes(objects: &[(String, Value)]) -> (Vec<Change>, usize) {
    let (mut changes, mut elsewhere) = (Vec::new(), 0);
    for (file, object) in objects {
        let kind = object["kind"].as_str().unwrap();
        let mut places = vec![String::new()];
        walk(&object["spec"], "/spec", &mut places);
        for place in &places {
            let pattern = pattern(place);
            let rules: Vec<_> =
                RULES.iter().filter(|rule| rule.kind == kind && rule.place == pattern).collect();
            let is_leaf =
                !matches!(object.pointer(place), Some(Value::Object(_) | Value::Array(_)));
            assert!(!is_leaf || !rules.is_empty(), "no rule says who notices {kind} {pattern}");
            for rule in rules {
                let shows = match rule.shows {
                    Shows::Calls(shows) => shows,
                    Shows::Elsewhere(test) => {
                        assert!(is_there(test), "there is no {test}");
                        elsewhere += 1;
                        continue;
                    }
                };
                if object.pointer(place) == Some(&"istio-system/*".into()) {
                    // Nobody calls the control plane: tests/manifests/relations.rs::sees_callees.
                    elsewhere += 1;
                    continue;
                }
                let changed = rule.how.applied(object, place);
                let name = object["metadata"]["name"].as_str().unwrap();
                // Every service has a policy of its own: what denies all shows where one has none.
                let shows = if name == "deny-all" { Seen::Unnamed } else { shows };
                let says = format!("{kind}/{name} {place} {}", rule.how);
                let (service, shipped) = (file.clone(), object.clone());
                changes.push(Change { service, shipped, changed, shows, says });
            }
        }
    }
    (changes, elsewhere)
}

/// Whether a test, or what it holds to, is where it is said to be.
fn is_there(test: &str) -> bool {
    let (file, name) = test.split_once("::").unwrap();
    let text = fs::read_to_string(workspace().join(file)).unwrap_or_default();
    ["fn", "const"].iter().any(|what| text.contains(&format!("{what} {name}")))
}

/// Every place below one, as JSON pointers.
fn walk(value: &Value, place: &str, all: &mut Vec<String>) {
    let mut below = |key: &str, value: &Value| {
        let place = format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"));
        all.push(place.clone());
        walk(value, &place, all);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| below(key, value)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(at, value)| below(&at.to_string(), value));
        }
        _ => {}
    }
}

/// `/spec/rules/0/from` is `rules/*/from`.
fn pattern(place: &str) -> String {
    let below = place.strip_prefix("/spec").unwrap_or_default().trim_start_matches('/');
    let named = below.split('/').map(|part| if part.parse::<u32>().is_ok() { "*" } else { part });
    named.collect::<Vec<_>>().join("/")
}

fn by_what_is_seen(changes: Vec<Change>) -> BTreeMap<Seen, Vec<Change>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for change in changes {
        all.entry(change.shows).or_default().push(change);
    }
    all
}

/// The next change of each service.
fn next_of_each(left: &mut Vec<Change>) -> Vec<Change> {
    let mut round: Vec<Change> = Vec::new();
    let mut rest = Vec::new();
    for change in left.drain(..) {
        let is_new = round.iter().all(|it| it.service != change.service);
        if is_new { round.push(change) } else { rest.push(change) }
    }
    *left = rest;
    round
}

impl How {
    /// The object after the change; none if it is gone as a whole.
    fn applied(self, object: &Value, place: &str) -> Option<Value> {
        let mut changed = object.clone();
        if place.is_empty() && matches!(self, How::Gone) {
            return None;
        }
        let place = if place.is_empty() { "/spec" } else { place };
        match self {
            How::Gone => {
                let (parent, key) = place.rsplit_once('/').unwrap();
                match changed.pointer_mut(parent).unwrap() {
                    Value::Object(fields) => _ = fields.remove(key),
                    Value::Array(list) => _ = list.remove(key.parse().unwrap()),
                    _ => unreachable!("{place} has a parent"),
                }
            }
            How::Other => {
                let value = changed.pointer_mut(place).unwrap();
                *value = format!("{}x", value.as_str().unwrap()).into();
            }
            How::To(text) => {
                *changed.pointer_mut(place).unwrap() = serde_json::from_str(text).unwrap();
            }
        }
        Some(changed)
    }
}
