//! The API reference says what the contracts say, and every reason to refuse.

use std::{collections::BTreeSet, fs, path::Path};

use meshctl::api_reference::{PAGE, page};

/// Reasons that no caller ever sees: why an event of shipping cannot be applied, the reason of a list
/// of violations that is never empty, and what a server says that stands behind a sidecar, or takes
/// no calls without tokens.
const FOR_NOBODY: [&str; 7] = [
    "ORDER_UNKNOWN",
    "RESERVATION_NOT_SHIPPED",
    "REQUEST_MALFORMED",
    "XFCC_MISSING",
    "XFCC_MALFORMED",
    "TOKEN_MISSING",
    "CONNECTION_UNKNOWN",
];

#[test]
fn the_api_reference_is_what_the_contracts_say() {
    let expected = page().unwrap();
    let found = std::fs::read_to_string(PAGE).unwrap_or_default();

    let first = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
    assert!(
        found == expected,
        "{PAGE} is not what the contracts say: run `cargo mesh docs api` and commit the page\n\
         the first difference: {first:?}"
    );
}

#[test]
fn every_reason_that_code_gives_is_on_the_page() {
    let page = fs::read_to_string(PAGE).unwrap();
    let on_the_page: BTreeSet<&str> = words(&page).collect();
    let mut sources = Vec::new();
    for service in fs::read_dir("services").unwrap() {
        let src = service.unwrap().path().join("src");
        // Where requests are read, and where a failure becomes a status.
        for place in ["wire", "wire.rs", "api"] {
            collect(&src.join(place), &mut sources);
        }
    }
    let others = [
        // What an order says of itself, and what the platform refuses by itself.
        "services/orders/src/domain/order.rs",
        "services/orders/src/domain/checkout.rs",
        "mesh/rpc/src/fields.rs",
        "mesh/rpc/src/page.rs",
        "mesh/rpc/src/fault.rs",
        "mesh/auth/src/verify/refused.rs",
        "mesh/rpc/src/access/denied.rs",
        "mesh/rpc/src/peer/refusal.rs",
        "mesh/rpc/src/server/refusal.rs",
        "mesh/log/src/submit_error.rs",
        "mesh/events/src/dead_letters/service.rs",
        "mesh/saga/src/operator.rs",
        "proto/money.rs",
    ];
    others.iter().for_each(|file| collect(Path::new(file), &mut sources));

    let mut given = 0;
    let mut missing = BTreeSet::new();
    for (file, source) in &sources {
        let code = source.split("#[cfg(test)]").next().unwrap();
        // Every second part stands between quotes.
        for literal in code.split('"').skip(1).step_by(2).filter(|text| is_reason(text)) {
            given += 1;
            if !on_the_page.contains(literal) && !FOR_NOBODY.contains(&literal) {
                missing.insert(format!("{literal}, which {file} gives"));
            }
        }
    }

    assert!(missing.is_empty(), "say them in the contracts' comments: {missing:#?}");
    assert!(given > 100, "{given} reasons");
}

/// Adds a file, or the files of a folder.
fn collect(path: &Path, sources: &mut Vec<(String, String)>) {
    if path.is_file() {
        sources.push((path.display().to_string(), fs::read_to_string(path).unwrap()));
    } else if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), sources);
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// `OUT_OF_STOCK`, `OVERLOADED`; not `A-Z` or `EUR`.
fn is_reason(text: &str) -> bool {
    text.len() > 4
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}
