//! Which crates two lock files have otherwise.

use std::collections::BTreeSet;

const BEGIN: &str = "[[package]]";

/// Names and versions of those that are only in the second, or that need others there.
pub(super) fn differing(before: &str, now: &str) -> Vec<(String, String)> {
    let known: BTreeSet<&str> = blocks(before).collect();
    let new = blocks(now).filter(|block| !known.contains(block));
    let read = |block: &str| {
        let of = |key: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim_start_matches([' ', '=']).trim_matches('"').to_owned())
        };
        Some((of("name ")?, of("version ")?))
    };
    new.filter_map(read).collect()
}

fn blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split(BEGIN).skip(1).map(str::trim)
}
