//! docs/CLIENTS.md, section by section, as it is written there.

use std::fs;

use mesh_testkit::workspace;

const PAGE: &str = "docs/CLIENTS.md";
/// Stands for whatever is in its place.
const ANYTHING: char = '…';
/// Stands for the id of the order.
const ORDER: &str = "ORDER_ID";

/// What is under a heading.
#[derive(Debug, PartialEq, Eq)]
pub struct Section {
    /// What is typed, one block after the other.
    pub typed: Vec<String>,
    /// The lines that are shown then.
    pub shown: Vec<String>,
}

/// The section under a heading.
pub fn section(heading: &str) -> Section {
    let page = fs::read_to_string(workspace().join(PAGE)).unwrap();
    let start = format!("\n## {heading}\n");
    let (_, rest) = page.split_once(&start).unwrap_or_else(|| panic!("{PAGE} has no `{heading}`"));
    let found = read(rest.split("\n## ").next().unwrap());
    assert!(!found.typed.is_empty(), "{PAGE}: nothing is typed under `{heading}`");
    found
}

fn read(text: &str) -> Section {
    let fences = |kind: &str| -> Vec<String> {
        let start = format!("\n```{kind}\n");
        let fences = format!("\n{text}");
        let fences = fences.split(&start).skip(1).map(|it| it.split("\n```").next().unwrap());
        fences.map(str::to_owned).collect()
    };
    let shown = fences("text").iter().flat_map(|it| it.lines()).map(str::to_owned).collect();
    Section { typed: fences("sh"), shown }
}

/// The order that a screen tells of, if it shows these lines in their order, and others in between; the
/// first line that it does not show, otherwise.
pub fn order_in(shown: &[String], screen: &str) -> Result<String, String> {
    let mut order: Option<&str> = None;
    let mut seen = screen.lines().map(str::trim);
    for line in shown {
        let known = order;
        let found = seen.find_map(|it| match line.split_once(ORDER) {
            Some((begin, end)) => {
                let id = it.strip_prefix(begin)?.strip_suffix(end)?;
                known.is_none_or(|known| known == id).then_some(Some(id))
            }
            None => fits(line, it).then_some(known),
        });
        order = found.ok_or_else(|| line.clone())?;
    }
    order.map(str::to_owned).ok_or_else(|| format!("a line with {ORDER}"))
}

fn fits(said: &str, seen: &str) -> bool {
    let mut parts = said.split(ANYTHING);
    let Some(mut rest) = seen.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(end) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(end)
}

#[test]
fn what_is_typed_and_what_is_shown_are_told_apart() {
    let text = "words\n```sh\none\n\ntwo\n```\nwords\n```\nnot run\n```\n```sh\nthree\n```\n\
                ```text\nfirst\nsecond\n```";
    let owned = |lines: &[&str]| lines.iter().map(ToString::to_string).collect();

    let expected =
        Section { typed: owned(&["one\n\ntwo", "three"]), shown: owned(&["first", "second"]) };
    assert_eq!(read(text), expected);
}

#[test]
fn a_screen_shows_what_the_page_says_in_its_order_and_of_one_order() {
    let said = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
    let screen = "order o-1\nother\n  {\"a\":1,\"b\":2}\nagain: order o-1\n";

    let all = said(&["order ORDER_ID", "{…\"b\":2}", "again: order ORDER_ID"]);
    assert_eq!(order_in(&all, screen), Ok("o-1".to_owned()));
    for unseen in ["order ORDER_ID", "oth", "{…3}", "{…\"b\":1…}"] {
        let lines = said(&["order ORDER_ID", unseen]);
        assert_eq!(order_in(&lines, screen), Err(unseen.to_owned()));
    }
    let other = screen.replace("again: order o-1", "again: order o-2");
    assert_eq!(order_in(&all, &other), Err(all[2].clone()));
    order_in(&said(&["other"]), screen).unwrap_err();
}
