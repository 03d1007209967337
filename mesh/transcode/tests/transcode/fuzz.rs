//! What strangers send: inputs that were kept in `corpus/`, cut, joined and changed. `PROPTEST_CASES` says
//! how many are tried; one that finds something is kept as a line of its file.

use http::Method;
use mesh_transcode::{Binding, Refusal, Template};
use proptest::{collection::vec, prelude::*, sample::Index};
use prost_reflect::DynamicMessage;

use crate::support::shelves;

const TEMPLATES: &str = include_str!("corpus/templates.txt");
const REQUESTS: &str = include_str!("corpus/requests.txt");
const BODIES: &str = include_str!("corpus/bodies.txt");
/// Deeper than any stack.
const DEPTH: usize = 1_000_000;

/// One change of an input.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Insert(Index, u8),
    Cut(Index, Index),
    Repeat(Index, Index),
    /// Ends as another begins.
    Join(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    // Bytes that mean something somewhere, and any others.
    let byte =
        || prop_oneof![proptest::sample::select(&b"/{}=*.:%&?\"\\[],-0e\0\xff"[..]), any::<u8>()];
    let index = any::<Index>;
    prop_oneof![
        (index(), byte()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (index(), byte()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        (index(), index()).prop_map(|(from, to)| Change::Cut(from, to)),
        (index(), index()).prop_map(|(from, to)| Change::Repeat(from, to)),
        (index(), index()).prop_map(|(at, other)| Change::Join(at, other)),
    ]
}

/// Inputs that were kept, each with a few changes.
fn changed(corpus: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let lines: Vec<&[u8]> = corpus.lines().map(str::as_bytes).collect();
    (proptest::sample::select(lines.clone()), vec(change(), 0..6)).prop_map(
        move |(line, changes)| {
            changes.into_iter().fold(line.to_vec(), |input, change| apply(input, &change, &lines))
        },
    )
}

fn apply(mut input: Vec<u8>, change: &Change, corpus: &[&[u8]]) -> Vec<u8> {
    let size = input.len() + 1;
    let between = |from: &Index, to: &Index| {
        let (from, to) = (from.index(size), to.index(size));
        from.min(to)..from.max(to)
    };
    match change {
        Change::Set(at, byte) if !input.is_empty() => {
            let at = at.index(input.len());
            input[at] = *byte;
        }
        Change::Set(_, byte) => input.push(*byte),
        Change::Insert(at, byte) => input.insert(at.index(size), *byte),
        Change::Cut(from, to) => drop(input.drain(between(from, to))),
        Change::Repeat(from, to) => {
            let range = between(from, to);
            let piece = input[range.clone()].to_vec();
            input.splice(range.end..range.end, piece);
        }
        Change::Join(at, other) => {
            input.truncate(at.index(size));
            let other: &&[u8] = other.get(corpus);
            input.extend_from_slice(other);
        }
    }
    input
}

fn binding(rpc: &str) -> &'static Binding {
    shelves().bindings().iter().find(|it| it.rpc().name() == rpc).unwrap()
}

/// Whatever is refused is the client's fault, and says what is wrong.
fn is_clear(refusal: &Refusal) -> Result<(), TestCaseError> {
    prop_assert!((400..500).contains(&refusal.http_status().as_u16()), "{refusal:?}");
    if let Refusal::Invalid(invalid) = refusal {
        prop_assert!(!invalid.0.is_empty());
        for violation in &invalid.0 {
            prop_assert!(!violation.field.is_empty() && !violation.description.is_empty());
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_template_is_read_as_it_is_written_or_refused(input in changed(TEMPLATES)) {
        let text = String::from_utf8_lossy(&input);
        match text.parse::<Template>() {
            Ok(template) => {
                let again = template.to_string().parse::<Template>();
                prop_assert_eq!(again.as_ref(), Ok(&template));
            }
            Err(error) => prop_assert!(error.to_string().contains("at character")),
        }
    }

    #[test]
    fn a_request_becomes_a_message_or_is_refused(input in changed(REQUESTS)) {
        let text = String::from_utf8_lossy(&input);
        let (method, target) = text.split_once(' ').unwrap_or(("GET", &text));
        let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
        let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
        let made = shelves().route(&method, path).and_then(|route| route.request(query, b""));
        if let Err(refusal) = made {
            is_clear(&refusal)?;
        }
    }

    #[test]
    fn a_body_is_the_same_after_it_was_read_and_written(input in changed(BODIES)) {
        let route = shelves().route(&Method::PUT, "/v1/shelves/5/books/7").unwrap();
        match route.request(None, &input) {
            Err(refusal) => is_clear(&refusal)?,
            Ok(message) => {
                let Some(book) = message.get_field_by_name("book").filter(|_| message.has_field_by_name("book")) else {
                    return Ok(());
                };
                let update = binding("UpdateBook");
                let mut answer = DynamicMessage::new(update.rpc().output());
                answer.set_field_by_name("book", book.into_owned());
                let json = update.answer(&answer);
                prop_assert!(json.is_ok(), "what was read can be written: {json:?}");
                let body = [b"{\"book\":", &json.unwrap()[..], b"}"].concat();
                let again = route.request(None, &body);
                prop_assert!(again.is_ok(), "{again:?}");
                // As bytes the order of a map's entries is anybody's, and NaN is not equal to itself.
                let shown = |message| serde_json::to_value(message).unwrap();
                prop_assert_eq!(shown(again.unwrap()), shown(message));
            }
        }
    }

    #[test]
    fn whatever_a_service_sends_becomes_json_or_an_error(input in vec(any::<u8>(), 0..64)) {
        let list = binding("ListBooks");
        if let Ok(message) = DynamicMessage::decode(list.rpc().output(), &input[..])
            && let Ok(json) = list.answer(&message)
        {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
        }
    }
}

#[test]
fn nothing_is_too_deep() {
    let route = shelves().route(&Method::PUT, "/v1/shelves/5/books/7").unwrap();
    for open in ["[", "{\"book\":", "{\"book\":{\"author\":", "{\"x\":[", "{\"book\":{\"tags\":["] {
        let refusal = route.request(None, open.repeat(DEPTH).as_bytes()).unwrap_err();
        assert!(matches!(refusal, Refusal::Invalid(_)), "{open}: {refusal:?}");
    }
}

#[test]
fn what_was_kept_is_tried_as_it_is() {
    for (corpus, least) in [(TEMPLATES, 10), (REQUESTS, 10), (BODIES, 10)] {
        assert!(corpus.lines().filter(|line| !line.is_empty()).count() >= least);
    }
    let reads = |line: &str| line.parse::<Template>().is_ok();
    assert_eq!(TEMPLATES.lines().filter(|line| reads(line)).count(), 7, "some can be, some cannot");
    let route = shelves().route(&Method::PUT, "/v1/shelves/5/books/7").unwrap();
    let reads = |line: &str| route.request(None, line.as_bytes()).is_ok();
    assert!((3..BODIES.lines().count()).contains(&BODIES.lines().filter(|it| reads(it)).count()));
}
