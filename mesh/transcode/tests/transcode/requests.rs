//! What becomes of paths, queries and bodies.

use http::{HeaderMap, HeaderValue, Method, header};
use mesh_transcode::Refusal;
use serde_json::json;

use crate::support::{ask, asked, blamed, shelves, written};

const BOOK: &str = "/v1/shelves/5/books/7";
const SHELF: &str = "/v1/shelves/5";

#[test]
fn a_path_gives_values_decoded_as_one_segment_or_several() {
    let read = |path: &str| asked(Method::GET, path, "");

    assert_eq!(read("/v1/files/a%2Fb%20c/d")["path"], "a%2Fb c/d", "a slash would separate");
    assert_eq!(read("/v1/files"), json!({}), "`**` may be nothing");
    let put = asked(Method::PUT, "/v1/shelves/a%2Fb/books/7", "{}");
    assert_eq!(put, json!({ "shelf": "a/b", "number": 7 }));
}

#[test]
fn a_query_gives_fields_of_every_simple_kind() {
    let query = "page_size=3&formats=FORMAT_PLAIN&formats=0&author.given_name=Ada%20A&author.familyName=L\
                 &after=2026-11-23T08:00:00Z&within=1.5s&read_mask=author.given_name,title&copies=-9\
                 &token=_-8&random=true&weight=1e2";
    let list = asked(Method::GET, &format!("/v1/books?{query}"), "");

    let expected = json!({
        "pageSize": 3,
        "formats": ["FORMAT_PLAIN", "FORMAT_UNSPECIFIED"],
        "author": { "givenName": "Ada A", "familyName": "L" },
        "after": "2026-11-23T08:00:00Z",
        "within": "1.500s",
        "readMask": "author.givenName,title",
        "copies": "-9",
        "token": "/+8=",
        "random": true,
        "weight": 100.0,
    });
    assert_eq!(list, expected);
    assert_eq!(asked(Method::GET, "/v1/books?&", ""), json!({}));
    assert_eq!(asked(Method::GET, "/v1/books?by=a+b%2B", "")["by"], "a b+");
}

#[test]
fn a_query_that_cannot_be_is_refused_by_field() {
    for (query, field, reason) in [
        ("colour=red", "colour", "FIELD_UNKNOWN"),
        ("author.age=9", "author.age", "FIELD_UNKNOWN"),
        ("author=Ada", "author", "FIELD_UNKNOWN"),
        ("others.given_name=Ada", "others.given_name", "FIELD_UNKNOWN"),
        ("notes.a=b", "notes.a", "FIELD_UNKNOWN"),
        ("page_size=many", "page_size", "VALUE_MALFORMED"),
        ("page_size=2147483648", "page_size", "VALUE_MALFORMED"),
        ("page_size=", "page_size", "VALUE_MALFORMED"),
        ("page_size=1&pageSize=1", "pageSize", "FIELD_REPEATED"),
        ("formats=FORMAT_RED", "formats", "VALUE_MALFORMED"),
        ("after=yesterday", "after", "VALUE_MALFORMED"),
        ("within=1", "within", "VALUE_MALFORMED"),
        ("copies=x", "copies", "VALUE_MALFORMED"),
        ("token=!", "token", "VALUE_MALFORMED"),
        ("random=1", "random", "VALUE_MALFORMED"),
        ("weight=inf", "weight", "VALUE_MALFORMED"),
        ("by=a&random=true", "random", "FIELD_CONFLICT"),
        ("by=%ff", "by", "QUERY_MALFORMED"),
    ] {
        let target = format!("/v1/books?{query}");
        assert_eq!(blamed(Method::GET, &target, ""), (field.to_owned(), reason), "{query}");
    }
    let bound = blamed(Method::GET, "/v1/shelves/5/books?parent=shelves/6", "");
    assert_eq!(bound, ("parent".to_owned(), "FIELD_BOUND"));
    let in_body = blamed(Method::PATCH, &format!("{BOOK}?book.title=x"), "{}");
    assert_eq!(in_body, ("book.title".to_owned(), "FIELD_BOUND"));
    let in_whole = blamed(Method::PUT, &format!("{BOOK}?number=8"), "{}");
    assert_eq!(in_whole, ("number".to_owned(), "FIELD_BOUND"));
}

#[test]
fn a_body_is_the_request_or_a_field_of_it() {
    let put = asked(Method::PUT, BOOK, r#"{"book": {"title": "x", "copies": "9007199254740993"}}"#);
    let book = json!({ "title": "x", "copies": "9007199254740993" });
    assert_eq!(put, json!({ "shelf": "5", "number": 7, "book": book }));

    let patch = asked(Method::PATCH, &format!("{BOOK}?request_id=r"), r#"{"title": "x"}"#);
    assert_eq!(patch["book"], json!({ "name": "shelves/5/books/7", "title": "x" }));
    assert_eq!(patch["requestId"], "r");

    let same = asked(Method::PATCH, BOOK, r#"{"name": "shelves/5/books/7"}"#);
    assert_eq!(same["book"]["name"], "shelves/5/books/7");
    let empty = asked(Method::PUT, BOOK, "");
    assert_eq!(empty, json!({ "shelf": "5", "number": 7 }));
}

#[test]
fn a_patch_changes_what_it_speaks_of() {
    let mask = |query: &str, body: &str| {
        asked(Method::PATCH, &format!("{BOOK}{query}"), body)["updateMask"].clone()
    };

    let body = r#"{"title": "x", "author": {"givenName": "A"}, "notes": {}, "printed": null}"#;
    let Some(said) = mask("", body).as_str().map(str::to_owned) else { panic!("no mask") };
    let mut paths: Vec<_> = said.split(',').collect();
    paths.sort_unstable();
    assert_eq!(paths, ["author.givenName", "notes", "printed", "title"]);
    assert_eq!(mask("", r#"{"author": {}}"#), "author");
    assert_eq!(mask("?update_mask=tags", body), "tags", "it says otherwise");
    assert_eq!(mask("?update_mask=", r#"{"title": "x"}"#), "title", "it says nothing");
    let put = asked(Method::PUT, BOOK, r#"{"book": {"title": "x"}}"#);
    assert!(put.get("updateMask").is_none());
}

/// Not which thing it is, and how it is asked for.
#[test]
fn a_patch_whose_body_is_the_request_changes_what_else_it_speaks_of() {
    let mask = |target: &str, body: &str| {
        let asked = asked(Method::PATCH, target, body)["updateMask"].clone();
        let mut paths: Vec<_> = asked.as_str().unwrap().split(',').map(str::to_owned).collect();
        paths.sort_unstable();
        paths
    };
    assert_eq!(mask(SHELF, r#"{"lit": true}"#), ["lit"]);
    let about = r#"{"lit": false, "label": null, "requestId": "r", "etag": "e", "shelf": "5",
                    "updateMask": ""}"#;
    assert_eq!(mask(SHELF, about), ["label", "lit"]);
    let within = r#"{"owner": {"familyName": "L", "givenName": "Ada"}, "notes": {"a": "b"}}"#;
    assert_eq!(mask(SHELF, within), ["notes", "owner.familyName", "owner.givenName"]);
    let bound = mask("/v1/owners/Ada/shelf", within);
    assert_eq!(bound, ["notes", "owner.familyName"], "whose it is, is in the path");
    assert_eq!(mask(SHELF, r#"{"lit": true, "updateMask": "label"}"#), ["label"], "it says so");
    for nothing in [r#"{"requestId": "r"}"#, "{}", ""] {
        let refused = blamed(Method::PATCH, SHELF, nothing);
        assert_eq!(refused, ("body".to_owned(), "BODY_EMPTY"), "{nothing}");
    }
}

#[test]
fn a_body_that_cannot_be_is_refused_by_field() {
    let long = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    for (body, field, reason) in [
        ("{", "body", "JSON_MALFORMED"),
        ("{} {}", "body", "JSON_MALFORMED"),
        ("{\"book\": \u{7}}", "body", "JSON_MALFORMED"),
        (long.as_str(), "body", "JSON_MALFORMED"),
        ("[]", "body", "VALUE_MALFORMED"),
        (r#"{"colour": 1}"#, "colour", "FIELD_UNKNOWN"),
        (r#"{"book": {"colour": 1}}"#, "book.colour", "FIELD_UNKNOWN"),
        (r#"{"book": []}"#, "book", "VALUE_MALFORMED"),
        (r#"{"book": {"author": {"givenName": 1}}}"#, "book.author.given_name", "VALUE_MALFORMED"),
        (r#"{"book": {"tags": ["a", 1]}}"#, "book.tags[1]", "VALUE_MALFORMED"),
        (r#"{"book": {"tags": "a"}}"#, "book.tags", "VALUE_MALFORMED"),
        (r#"{"book": {"copies": 1.5}}"#, "book.copies", "VALUE_MALFORMED"),
        (r#"{"book": {"printed": "now"}}"#, "book.printed", "VALUE_MALFORMED"),
        (r#"{"book": {"format": "FORMAT_RED"}}"#, "book.format", "VALUE_MALFORMED"),
        (r#"{"book": {"notes": {"a": 1}}}"#, "book.notes", "VALUE_MALFORMED"),
        (r#"{"shelf": "6"}"#, "shelf", "FIELD_CONFLICT"),
    ] {
        assert_eq!(blamed(Method::PUT, BOOK, body), (field.to_owned(), reason), "{body}");
    }
    let inner = blamed(Method::PATCH, BOOK, r#"{"author": {"age": 1}}"#);
    assert_eq!(inner, ("book.author.age".to_owned(), "FIELD_UNKNOWN"));
    let other = blamed(Method::PATCH, BOOK, r#"{"name": "shelves/6"}"#);
    assert_eq!(other, ("book.name".to_owned(), "FIELD_CONFLICT"));
    let number = blamed(Method::PUT, "/v1/shelves/5/books/seven", "{}");
    assert_eq!(number, ("number".to_owned(), "VALUE_MALFORMED"));
    let encoded = blamed(Method::PUT, "/v1/shelves/%ff/books/7", "{}");
    assert_eq!(encoded, ("shelf".to_owned(), "PATH_MALFORMED"));
    let unasked = blamed(Method::DELETE, BOOK, "{}");
    assert_eq!(unasked, ("body".to_owned(), "BODY_UNEXPECTED"));
}

#[test]
fn what_a_value_must_be_is_said_in_words() {
    for (body, said) in [
        (r#"{"title": 1}"#, "book.title must be a text"),
        (r#"{"tags": ["a", 1]}"#, "book.tags[1] must be a text"),
        (r#"{"tags": "a"}"#, "book.tags must be a list; each of it must be a text"),
        (r#"{"notes": {"a": 1}}"#, "book.notes must be an object; each value in it must be a text"),
        (r#"{"copies": 1.5}"#, "book.copies must be a whole number of 64 bits"),
        (r#"{"pages": -1}"#, "book.pages must be a whole number of 64 bits, not negative"),
        (r#"{"printed": "now"}"#, "book.printed must be a time such as 2026-11-23T08:00:00Z"),
        (r#"{"format": "RED"}"#, "book.format must be the name or number of a value of Format"),
        (r#"{"lent": 1}"#, "book.lent must be true or false"),
        (r#"{"cover": "!"}"#, "book.cover must be base64"),
        (r#"{"author": 1}"#, "book.author must be an object"),
        (r#"{"title": 1, "title": "a"}"#, "must have each field once"),
    ] {
        let refusal = ask(Method::PATCH, BOOK, body).unwrap_err().to_string();
        assert!(refusal.contains(said), "{body}: {refusal}");
    }
    let written = written(&[r#"{ post: "/v1/a" body: "*" }"#]).unwrap();
    let route = written.route(&Method::POST, "/v1/a").unwrap();
    let both = route.request(None, br#"{"first": "a", "second": "b"}"#).unwrap_err().to_string();
    assert!(both.contains("second must not be there with another of its kind"), "{both}");
}

/// It may be a card's number, or a password.
#[test]
fn what_cannot_be_read_is_not_repeated() {
    const SECRET: &str = "4242424242424242";
    let book = |json: &str| (Method::PUT, BOOK.to_owned(), format!(r#"{{"book": {{{json}}}}}"#));
    let field = |json: &str| (Method::PATCH, BOOK.to_owned(), format!("{{{json}}}"));
    let query = |query: &str| (Method::GET, format!("/v1/books?{query}"), String::new());
    let mut all = vec![(Method::PUT, format!("/v1/shelves/5/books/{SECRET}"), "{}".to_owned())];
    for json in [
        r#""title": S"#,
        r#""title": {"a": S}"#,
        r#""title": [S]"#,
        r#""title": -S"#,
        r#""title": S.5"#,
        r#""title": S, "title": "a""#,
        r#""title": S x"#,
        r#""title": "S\x""#,
        r#""author": S"#,
        r#""author": "S""#,
        r#""author": {"givenName": S}"#,
        r#""tags": S"#,
        r#""tags": "S""#,
        r#""tags": ["a", S]"#,
        r#""copies": "S!""#,
        r#""copies": S.5"#,
        r#""notes": S"#,
        r#""notes": {"a": S}"#,
        r#""printed": S"#,
        r#""printed": "S""#,
        r#""cover": S"#,
        r#""cover": "S!""#,
        r#""weight": "S!""#,
        r#""format": "S""#,
        r#""format": S"#,
        r#""reading": "S""#,
        r#""lent": S"#,
        r#""lent": "S""#,
        r#""rating": "S!""#,
        r#""pages": -S"#,
        r#""old": S"#,
        r#""edition": S"#,
    ] {
        let json = json.replace('S', SECRET);
        all.extend([book(&json), field(&json)]);
    }
    for name in ["page_size", "formats", "after", "within", "copies", "token", "random", "weight"] {
        all.push(query(&format!("{name}={SECRET}!")));
    }

    for (method, target, body) in all {
        let Err(refusal) = ask(method, &target, &body) else { panic!("{target} {body} is read") };
        let status = refusal.status();
        let told = format!("{status:?} {}", String::from_utf8_lossy(status.details()));
        assert!(!told.contains(SECRET), "{target} {body}: {told}");
    }
}

#[test]
fn a_body_is_json_and_says_so() {
    let shelves = shelves();
    let route = shelves.route(&Method::PUT, BOOK).unwrap();
    let check = |value: &'static str| {
        let value = HeaderValue::from_static(value);
        route.check_type(&HeaderMap::from_iter([(header::CONTENT_TYPE, value)]))
    };

    for fine in ["application/json", "Application/JSON; charset=UTF-8", "application/json;v=1"] {
        assert_eq!(check(fine), Ok(()), "{fine}");
    }
    for bad in ["text/json", "application/x-www-form-urlencoded", "application/json;charset=latin1"]
    {
        assert_eq!(check(bad), Err(Refusal::UnsupportedMediaType), "{bad}");
    }
    assert_eq!(route.check_type(&HeaderMap::new()), Err(Refusal::UnsupportedMediaType));
    assert_eq!(Refusal::UnsupportedMediaType.http_status(), 415);
}
