//! What a contract may say, and what is refused when it is loaded.

use http::Method;
use mesh_transcode::{Refusal, Template};

use crate::support::{refused, shelves, written};

#[test]
fn templates_are_read_as_their_grammar_says() {
    for sound in [
        "/v1/shelves",
        "/v1/{name}",
        "/v1/{name=shelves/*}:verb",
        "/v1/{a.b.c}/x/{d=**}",
        "/*/**",
        "/v1/a-b_c.~9:x",
    ] {
        assert_eq!(sound.parse::<Template>().unwrap().to_string(), sound);
    }
    assert_eq!("/v1/{name=*}".parse::<Template>().unwrap().to_string(), "/v1/{name}");
    for (unsound, at, why) in [
        ("", 0, "a template begins with `/`"),
        ("v1", 0, "a template begins with `/`"),
        ("/", 1, "there must be letters"),
        ("/v1/", 4, "there must be letters"),
        ("/v1//a", 4, "there must be letters"),
        ("/v1/{}", 5, "a field's name begins with a letter"),
        ("/v1/{a.}", 7, "a field's name begins with a letter"),
        ("/v1/{a", 6, "a variable ends with `}`"),
        ("/v1/{a={b}}", 8, "a variable cannot be in another"),
        ("/v1/{a}/{a}", 10, "the field is there twice"),
        ("/v1/**/b", 8, "`**` must be the last segment"),
        ("/v1/{a=**}/b", 12, "`**` must be the last segment"),
        ("/v1/a:", 6, "there must be letters"),
        ("/v1/a:b/c", 7, "nothing may follow here"),
        ("/v1/a b", 5, "nothing may follow here"),
        ("/v1/***", 6, "nothing may follow here"),
    ] {
        let error = unsound.parse::<Template>().unwrap_err().to_string();
        assert!(error.starts_with(why), "{unsound}: {error}");
        assert!(error.ends_with(&format!("at character {at} of `{unsound}`")), "{error}");
    }
}

#[test]
fn a_contract_that_cannot_be_is_refused_with_rpc_and_binding() {
    for (options, problem) in [
        (&["{get: \"/v1/{b}\"}"][..], "`b` must be a field of the request"),
        (&["{get: \"/v1/{inner}\"}"], "`inner` must be a single, simple value"),
        (&["{get: \"/v1/{all}\"}"], "`all` must be a single, simple value"),
        (&["{get: \"/v1/{map.x}\"}"], "`map.x` must not be in a map"),
        (&["{get: \"/v1/{a.x}\"}"], "`a.x` must not be in a field that has no fields"),
        (&["{get: \"/v1\", body: \"*\"}"], "a question has no body"),
        (&["{post: \"/v1\", body: \"b\"}"], "body `b` must be a field of the request"),
        (&["{post: \"/v1\", body: \"inner.text\"}"], "`body` must be a field of its own"),
        (&["{get: \"/v1\", response_body: \"b\"}"], "response_body `b` must be a field"),
        (&["{get: \"/v1/{a\"}"], "a variable ends with `}`"),
        (&["{custom: {kind: \"*\", path: \"/v1\"}}"], "a custom pattern names one HTTP method"),
        (&["{body: \"*\"}"], "a binding has a pattern"),
        (
            &["{get: \"/v1/{a}\"}", "{get: \"/v1/{inner.text=*}\"}"],
            "t.v1.S.Call0 has the same path",
        ),
        (
            &["{get: \"/v1\", additional_bindings: {get: \"/v1\"}}"],
            "t.v1.S.Call0 has the same path",
        ),
        (
            &[
                "{get: \"/a\", additional_bindings: {get: \"/b\", additional_bindings: {get: \"/c\"}}}",
            ],
            "an additional binding cannot have more of them",
        ),
    ] {
        let error = refused(options);
        let rpc = format!("t.v1.S.Call{}: ", options.len() - 1);
        assert!(error.starts_with(&rpc) && error.contains(problem), "{options:?}: {error}");
    }
}

#[test]
fn one_path_can_have_an_rpc_for_each_method() {
    let sound = ["{get: \"/v1/{a}\"}", "{delete: \"/v1/{a}\"}", "{get: \"/v1/{a}:b\"}"];
    let transcoder = written(&sound).unwrap();

    let refused = transcoder.route(&Method::PUT, "/v1/x").unwrap_err();
    assert_eq!(refused.allow().as_deref(), Some("GET, DELETE"));
    assert_eq!(refused.http_status(), 405);
}

#[test]
fn what_leads_nowhere_is_told_apart_from_another_method() {
    let shelves = shelves();
    let route =
        |method, path| shelves.route(&method, path).map(|it| it.binding().rpc().name().to_owned());

    assert_eq!(route(Method::GET, "/v1/shelves/1/books").unwrap(), "ListBooks");
    assert_eq!(route(Method::GET, "/v1/books").unwrap(), "ListBooks");
    assert_eq!(route(Method::DELETE, "/v1/shelves/1/books/2").unwrap(), "DeleteBook");
    assert_eq!(route(Method::GET, "/v1/nothing"), Err(Refusal::NotFound));
    let others = vec![Method::PATCH, Method::PUT, Method::DELETE];
    let refused = route(Method::GET, "/v1/shelves/1/books/2").unwrap_err();
    let Refusal::MethodNotAllowed(mut allowed) = refused else { panic!("{refused:?}") };
    allowed.sort_by_key(|method| others.iter().position(|other| other == method));
    assert_eq!(allowed, others);
}
