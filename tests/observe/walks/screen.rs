//! Whether a screen shows what the page says that it does.
//!
//! Figures of the page stand for others, but 0 for 0; `…` for anything; a name such as `ORDER_ID` for what
//! is first found in its place, and for the same from then on. Lines come in the page's order, and others
//! may be in between.

use std::collections::BTreeMap;

/// What stands for something else.
const NAMES: [&str; 4] = ["ORDER_ID", "REQUEST_ID", "TRACE_ID", "PID"];
const ANYTHING: &str = "…";

/// What names stand for.
pub type Names = BTreeMap<&'static str, String>;

/// A text with what its names stand for.
pub fn named(text: &str, names: &Names) -> String {
    let known = names.iter();
    known.fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// What names stand for now that these lines were seen; the first line that was not, otherwise.
pub fn read(said: &[String], screen: &str, names: &Names) -> Result<Names, String> {
    let mut names = names.clone();
    let mut seen = screen.lines();
    for line in said {
        let words: Vec<&str> = line.split_whitespace().collect();
        let found = seen.find_map(|it| {
            let seen: Vec<&str> = it.split_whitespace().collect();
            fits(&words, &seen, &names)
        });
        names = found.ok_or_else(|| line.clone())?;
    }
    Ok(names)
}

fn fits(said: &[&str], seen: &[&str], names: &Names) -> Option<Names> {
    let Some((word, said_after)) = said.split_first() else {
        return seen.is_empty().then(|| names.clone());
    };
    if *word == ANYTHING {
        return (0..=seen.len()).find_map(|skipped| fits(said_after, &seen[skipped..], names));
    }
    let (found, seen_after) = seen.split_first()?;
    let mut names = names.clone();
    match NAMES.iter().find(|name| *name == word) {
        Some(name) if names.get(name).is_some_and(|known| known != found) => return None,
        Some(name) => _ = names.insert(name, (*found).to_owned()),
        None if is(word, found) => (),
        None => return None,
    }
    fits(said_after, seen_after, &names)
}

fn is(said: &str, seen: &str) -> bool {
    match said.split_once(ANYTHING) {
        Some((begin, end)) => {
            let rest = seen.strip_prefix(begin);
            rest.is_some_and(|rest| rest.ends_with(end))
        }
        None => figures(said) == figures(seen),
    }
}

/// Every number by whether it is 0.
fn figures(word: &str) -> String {
    let mut text = String::new();
    let mut number = String::new();
    for char in word.chars().map(Some).chain([None]) {
        match char {
            Some(char) if char.is_ascii_digit() || char == '.' && !number.is_empty() => {
                number.push(char);
            }
            other => {
                if !number.is_empty() {
                    let zero = number.bytes().all(|byte| matches!(byte, b'0' | b'.'));
                    text.push(if zero { '0' } else { '9' });
                    number.clear();
                }
                text.extend(other);
            }
        }
    }
    text
}

#[test]
fn figures_stand_for_others_but_not_for_none_and_names_for_what_was_first_seen() {
    let none = Names::new();
    let said = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
    let screen = "  order  o-1  took 12.5 ms\n  other\n  dead 0  order o-1\n  pid 77\n";

    let names =
        read(&said(&["order ORDER_ID … ms", "dead 0 order ORDER_ID", "pid PID"]), screen, &none);
    let names = names.unwrap();
    assert_eq!((names["ORDER_ID"].as_str(), names["PID"].as_str()), ("o-1", "77"));
    assert_eq!(named("trace ORDER_ID", &names), "trace o-1");
    read(&said(&["order o-… took 3 ms", "…"]), screen, &none).unwrap();

    for unseen in ["dead 3 …", "order ORDER_ID took 0 ms", "took 1 ms", "order x-… …"] {
        assert_eq!(read(&said(&[unseen]), screen, &none), Err(unseen.to_owned()));
    }
    // Not in this order; and not another one under the same name.
    let turned = said(&["pid 1", "other"]);
    assert_eq!(read(&turned, screen, &none), Err("other".to_owned()));
    let other = Names::from([("ORDER_ID", "o-2".to_owned())]);
    assert!(read(&said(&["order ORDER_ID …"]), screen, &other).is_err());
}
