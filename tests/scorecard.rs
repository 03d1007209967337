//! The documents say what is so: every promise names tests that exist, and every file, function and
//! link on their pages is there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use meshctl::{graph::Graph, services::sources};

/// Folders whose pages are read; those of the root are read too.
const FOLDERS: [&str; 3] = ["docs", "services", "mesh"];
const KINDS: [&str; 5] = ["rs", "sql", "proto", "toml", "md"];
/// What can be named behind a file.
const ITEMS: [&str; 6] = ["fn", "struct", "enum", "trait", "const", "static"];

#[test]
fn every_promise_names_tests_that_exist() {
    let readme = fs::read_to_string("README.md").unwrap();
    let scorecard = readme.split("\n## Scorecard").nth(1).expect("README.md has a scorecard");
    let scorecard = scorecard.split("\n## ").next().unwrap();
    let promises: Vec<_> = scorecard.lines().filter(|line| line.starts_with("| ")).collect();
    let mut faults = BTreeSet::new();
    let mut tests = 0;
    // Below the heading. A line in bold begins a part, and promises nothing by itself.
    for promise in &promises[1..] {
        if promise.starts_with("| **") {
            if promise.contains("::") {
                faults.insert(format!("a test without a promise: {promise}"));
            }
            continue;
        }
        let named: Vec<_> = quoted(promise).filter_map(|word| word.split_once("::")).collect();
        if named.is_empty() {
            faults.insert(format!("no test proves: {promise}"));
        }
        for (file, name) in named {
            tests += 1;
            if !is_test(Path::new(file), name) {
                faults.insert(format!("{file} has no test `{name}`"));
            }
        }
    }
    report(faults);
    assert!(promises.len() > 20 && tests > 40, "{} promises, {tests} tests", promises.len());
}

/// A stand without code that takes it, a test that would notice, or a word on when it is wrong is a wish.
#[test]
fn every_pattern_names_code_a_test_and_when_not_to_use_it() {
    let page = fs::read_to_string("docs/PATTERNS.md").unwrap();
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| **")).collect();
    let mut faults = BTreeSet::new();
    for row in &rows {
        if row.contains(" | Not used: ") {
            continue;
        }
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, what, proved, not_when] = cells[..] else {
            faults.insert(format!("{} cells instead of four: {row}", cells.len()));
            continue;
        };
        let mut must = |holds: bool, fault: &str| {
            if !holds {
                faults.insert(format!("{name} {fault}"));
            }
        };
        let paths: Vec<_> = quoted(what).filter(|word| word.contains('/')).collect();
        let here = |word: &&str| Path::new(word).exists() && !word.contains("::");
        must(
            !paths.is_empty() && paths.iter().all(here),
            "names no code, or some that is not there",
        );
        let tests: Vec<_> = quoted(proved).filter_map(|word| word.split_once("::")).collect();
        let is_one = |(file, test): &(&str, &str)| is_test(Path::new(file), test);
        must(
            !tests.is_empty() && tests.iter().all(is_one),
            "names no test, or one that is not there",
        );
        must(!not_when.is_empty(), "does not say when not to use it");
    }
    report(faults);
    assert!(rows.len() > 50, "{} rows", rows.len());
}

#[test]
fn pages_name_only_files_and_functions_that_exist() {
    let mut faults = BTreeSet::new();
    for (page, text) in pages() {
        for word in quoted(&text) {
            let (file, item) = word.split_once("::").unwrap_or((word, ""));
            if !is_path(file) {
                continue;
            }
            // From the root, or from where the page lies.
            let places = [PathBuf::from(file), page.parent().unwrap().join(file)];
            match places.iter().find_map(|place| fs::read_to_string(place).ok()) {
                None => _ = faults.insert(format!("{}: there is no {file}", page.display())),
                Some(source) if !item.is_empty() && !defines(&source, item) => {
                    faults.insert(format!("{}: {file} has no `{item}`", page.display()));
                }
                Some(_) => (),
            }
        }
    }
    report(faults);
}

#[test]
fn links_lead_somewhere() {
    let mut faults = BTreeSet::new();
    for (page, text) in pages() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            let elsewhere = link.contains("://") || file.is_empty();
            if !elsewhere && !page.parent().unwrap().join(file).exists() {
                faults.insert(format!("{} links to {link}", page.display()));
            }
        }
    }
    report(faults);
}

#[test]
fn the_picture_is_what_the_program_draws() {
    let readme = fs::read_to_string("README.md").unwrap();
    let picture = readme.split("```mermaid\n").nth(1).and_then(|rest| rest.split("```").next());

    let drawn = Graph::read(sources()).unwrap().mermaid().unwrap();

    assert_eq!(
        picture.unwrap(),
        drawn,
        "put what `cargo mesh graph --mermaid` says into README.md"
    );
}

/// Whether a file that is compiled has a test of this name.
fn is_test(file: &Path, name: &str) -> bool {
    let Ok(source) = fs::read_to_string(file) else { return false };
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let is_head = |line: &&str| line.contains(&format!("fn {name}("));
    let Some(at) = lines.iter().position(is_head) else { return false };
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with(['#', '/']));
    let marked = above.into_iter().any(|line| line.ends_with("test]") || line.contains("::test("));
    marked && is_compiled(file)
}

/// Whether somebody says `mod` of a file, and of whoever says so; a file that nobody could say it
/// of is the root of a crate.
fn is_compiled(file: &Path) -> bool {
    let stem = file.file_stem().unwrap().to_str().unwrap();
    let (name, folder) = match stem {
        "main" | "lib" => return true,
        "mod" => {
            let own = file.parent().unwrap();
            (own.file_name().unwrap().to_str().unwrap(), own.parent().unwrap())
        }
        _ => (stem, file.parent().unwrap()),
    };
    let parents = ["mod.rs", "main.rs", "lib.rs"].map(|parent| folder.join(parent));
    let mut present = parents.iter().filter(|parent| parent.is_file()).peekable();
    let says = |parent: &PathBuf| {
        let line = format!("mod {name};");
        fs::read_to_string(parent).unwrap().lines().any(|given| given.trim().ends_with(&line))
    };
    present.peek().is_none() || present.any(|parent| says(parent) && is_compiled(parent))
}

fn defines(source: &str, item: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    ITEMS.iter().any(|kind| {
        let head = format!("{kind} {item}");
        source.match_indices(&head).any(|(at, _)| ends(&source[at + head.len()..]))
    })
}

fn is_path(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let extension = Path::new(word).extension().and_then(|extension| extension.to_str());
    word.contains('/')
        && !word.starts_with('/')
        && word.chars().all(is_plain)
        && extension.is_some_and(|extension| KINDS.contains(&extension))
}

/// What stands between backticks on one line.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn pages() -> Vec<(PathBuf, String)> {
    let is_page = |path: &Path| path.extension().is_some_and(|extension| extension == "md");
    let mut found: Vec<_> =
        files(Path::new(".")).into_iter().filter(|path| is_page(path)).collect();
    let mut folders: Vec<_> = FOLDERS.iter().map(PathBuf::from).collect();
    while let Some(folder) = folders.pop() {
        for entry in files(&folder) {
            if entry.is_dir() {
                folders.push(entry);
            } else if is_page(&entry) {
                found.push(entry);
            }
        }
    }
    assert!(found.len() > 10, "the pages are not where they were");
    found.into_iter().map(|page| (page.clone(), fs::read_to_string(page).unwrap())).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn report(faults: BTreeSet<String>) {
    let faults: Vec<_> = faults.into_iter().collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
