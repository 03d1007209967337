//! Consumer contracts: what each service relies on in the contracts of others is found out by its own
//! tests, kept in `tests/consumers/recordings/`, and asked of the real providers again.
//!
//! Between a consumer and its providers, all of them real processes, stand a [`tap::Tap`] for calls and a
//! [`wire::Wire`] for events. A [story](stories) is told with one thing left out that a provider said, and
//! again with another; what is missed is relied on ([`learn`]). `RECORD=1` writes what was found.

mod change;
mod changes;
mod ear;
mod lab;
mod learn;
mod names;
mod replay;
mod stories;
mod tap;
mod wire;

use std::{collections::BTreeMap, fs, path::Path};

use meshctl::contracts::{RECORDINGS, Recording, Step, recordings};
use serde_json::{Value, json};

use crate::shop::Shop;
use names::ANY;

#[tokio::test(flavor = "multi_thread")]
async fn what_every_consumer_relies_on_is_recorded() {
    let lab = lab::Lab::open().await;
    let mut found: BTreeMap<&str, Recording> = BTreeMap::new();
    for story in stories::stories() {
        let new = || Recording { consumer: story.consumer.to_owned(), ..Recording::default() };
        let recording = found.entry(story.consumer).or_insert_with(new);
        learn::learn(&lab.shop, &lab.ears[story.consumer], &story, recording).await;
    }

    if std::env::var_os("RECORD").is_some() {
        for recording in found.values() {
            let text = serde_json::to_string_pretty(recording).unwrap() + "\n";
            fs::write(format!("{RECORDINGS}/{}.json", recording.consumer), text).unwrap();
        }
    } else {
        let known = recordings(Path::new(".")).unwrap();
        let consumers: Vec<_> = known.iter().map(|it| it.consumer.as_str()).collect();
        assert_eq!(consumers, found.keys().copied().collect::<Vec<_>>());
        for (known, found) in known.iter().zip(found.values_mut()) {
            adopt(known, found);
            let (known, found) = (lines(known), lines(found));
            let differs = known.iter().zip(&found).position(|(a, b)| a != b);
            let at = differs.unwrap_or_else(|| known.len().min(found.len()));
            let around = |lines: &[String]| {
                lines[at.saturating_sub(8)..].iter().take(12).cloned().collect::<Vec<_>>()
            };
            assert!(
                known == found,
                "not as recorded any more; look at it, then say RECORD=1 to record it anew:\n\
                 recorded: {:#?}\nfound: {:#?}",
                around(&known),
                around(&found),
            );
        }
    }
    lab.shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_still_say_what_consumers_rely_on() {
    let shop = Shop::with_storefront().await;
    let recordings = recordings(Path::new(".")).unwrap();
    let mut faults = Vec::new();
    let mut told = 0;
    for story in stories::stories() {
        let recording = recordings.iter().find(|it| it.consumer == story.consumer).unwrap();
        faults.extend(replay::replay(&shop, &story, recording).await);
        told += 1;
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    assert_eq!(told, recordings.iter().map(|it| it.stories.len()).sum::<usize>());
    shop.platform.shutdown().await;
}

/// What was recorded as any value may have been the same value twice this time.
fn adopt(known: &Recording, found: &mut Recording) {
    for (known, found) in known.stories.iter().zip(&mut found.stories) {
        for (known, found) in known.steps.iter().zip(&mut found.steps) {
            let (Some(known), Some(found)) = (fields(known), fields_mut(found)) else { continue };
            for (path, value) in found.iter_mut() {
                if known.get(path).is_some_and(|known| known == ANY) {
                    *value = json!(ANY);
                }
            }
        }
    }
}

fn fields(step: &Step) -> Option<&BTreeMap<String, Value>> {
    match step {
        Step::Answered { fields, .. } | Step::Heard { fields, .. } => Some(fields),
        Step::Refused { .. } => None,
    }
}

fn fields_mut(step: &mut Step) -> Option<&mut BTreeMap<String, Value>> {
    match step {
        Step::Answered { fields, .. } | Step::Heard { fields, .. } => Some(fields),
        Step::Refused { .. } => None,
    }
}

fn lines(recording: &Recording) -> Vec<String> {
    let text = serde_json::to_string_pretty(recording).unwrap();
    text.lines().map(str::to_owned).collect()
}
