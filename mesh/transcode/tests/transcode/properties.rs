//! What holds for any template, path and message.

use http::Method;
use mesh_transcode::{Segment, Template};
use proptest::{collection::vec, prelude::*};
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

use crate::support::shelves;

/// Texts that look like templates.
fn templates() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[a-c]{1,2}",
        Just("*".to_owned()),
        Just("**".to_owned()),
        "\\{[a-c](\\.[a-c])?(=(\\*|\\*\\*|[a-c]|[a-c]/\\*))?\\}",
    ];
    (vec(part, 1..5), proptest::option::of("[a-c]{1,2}")).prop_map(|(parts, verb)| {
        let verb = verb.map(|verb| format!(":{verb}")).unwrap_or_default();
        format!("/{}{verb}", parts.join("/"))
    })
}

/// A text as one segment of a path, all but letters encoded.
fn encode(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
        _ => format!("%{byte:02x}"),
    };
    text.bytes().map(byte).collect()
}

proptest! {
    #[test]
    fn nothing_makes_the_parser_fall_over(text in "[/{}=*.:a-b %é]{0,24}") {
        let _ = text.parse::<Template>();
    }

    #[test]
    fn what_is_read_is_written_the_same(text in templates()) {
        if let Ok(template) = text.parse::<Template>() {
            let shown = template.to_string();
            prop_assert_eq!(shown.parse::<Template>().unwrap(), template);
        }
    }

    #[test]
    fn segments_and_variables_of_a_template_fit_together(text in templates()) {
        if let Ok(template) = text.parse::<Template>() {
            let count = template.segments().len();
            let many = template.segments().iter().position(|it| *it == Segment::Many);
            prop_assert!(many.is_none_or(|at| at + 1 == count));
            let mut end = 0;
            for variable in template.variables() {
                prop_assert!(variable.segments.start >= end && variable.segments.end <= count);
                prop_assert!(!variable.segments.is_empty());
                end = variable.segments.end;
            }
        }
    }

    #[test]
    fn any_text_goes_through_a_path(text in "[^\\x00]{1,12}") {
        let shelves = shelves();
        let path = format!("/v1/shelves/{}/books/7", encode(&text));
        let route = shelves.route(&Method::PUT, &path).unwrap();
        let message = route.request(None, b"{}").unwrap();
        let shelf = message.get_field_by_name("shelf").unwrap();
        prop_assert_eq!(shelf.as_str(), Some(text.as_str()));
    }

    #[test]
    fn no_path_query_or_body_makes_anything_fall_over(
        path in "/v1/[a-z%/:.0-9é]{0,24}",
        query in "[a-z_.=&%+0-9]{0,24}",
        body in "[\\[\\]{}\":,a-z0-9 ]{0,24}",
    ) {
        let shelves = shelves();
        for method in [Method::GET, Method::PATCH, Method::PUT] {
            if let Ok(route) = shelves.route(&method, &path) {
                let _ = route.request(Some(&query), body.as_bytes());
            }
        }
    }

    #[test]
    fn a_message_is_the_same_after_json(
        title in ".{0,8}",
        (tags, copies) in (vec(".{0,4}", 0..3), any::<i64>()),
        (cover, weight) in (vec(any::<u8>(), 0..5), any::<f64>()),
        (format, rating) in (0..4_i32, any::<f32>()),
        (pages, old, edition) in (any::<u64>(), any::<bool>(), any::<Option<i32>>()),
    ) {
        let shelves = shelves();
        let put = shelves.bindings().iter().find(|it| it.rpc().name() == "PutBook").unwrap();
        let update = shelves.bindings().iter().find(|it| it.rpc().name() == "UpdateBook").unwrap();
        let mut book = DynamicMessage::new(book(update));
        book.set_field_by_name("title", Value::String(title));
        book.set_field_by_name("tags", Value::List(tags.into_iter().map(Value::String).collect()));
        book.set_field_by_name("copies", Value::I64(copies));
        book.set_field_by_name("cover", Value::Bytes(cover.into()));
        book.set_field_by_name("weight", Value::F64(weight));
        book.set_field_by_name("format", Value::EnumNumber(format));
        book.set_field_by_name("rating", Value::F32(rating));
        book.set_field_by_name("pages", Value::U64(pages));
        book.set_field_by_name("old", Value::Bool(old));
        if let Some(edition) = edition {
            book.set_field_by_name("edition", Value::I32(edition));
        }
        let mut answer = DynamicMessage::new(update.rpc().output());
        answer.set_field_by_name("book", Value::Message(book.clone()));
        let json = String::from_utf8(update.answer(&answer).unwrap()).unwrap();

        let route = shelves.route(&Method::PUT, "/v1/shelves/5/books/7").unwrap();
        prop_assert_eq!(route.binding().rpc().name(), put.rpc().name());
        let request = route.request(None, format!("{{\"book\":{json}}}").as_bytes()).unwrap();
        let read = request.get_field_by_name("book").unwrap().into_owned();
        // NaN is not equal to itself: bytes are.
        use prost::Message as _;
        prop_assert_eq!(read.as_message().unwrap().encode_to_vec(), book.encode_to_vec());
    }
}

fn book(update: &mesh_transcode::Binding) -> prost_reflect::MessageDescriptor {
    let field = update.rpc().output().get_field_by_name("book").unwrap();
    let mut message = DynamicMessage::new(update.rpc().output());
    message.get_field_mut(&field).as_message_mut().unwrap().descriptor()
}
