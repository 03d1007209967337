use super::*;

const DECLARED: &str = "service = \"gateway\"\n[[flags]]\nname = \"products_moved\"\ndefault = true\n\
                        what = \"x\"\n[[flags]]\nname = \"products_shadowed\"\ndefault = false\n\
                        what = \"x\"";

fn ground() -> Ground {
    let place = |method: Method, template: &str, is_public, is_stream| Place {
        method,
        template: template.parse().unwrap(),
        is_public,
        is_stream,
    };
    Ground {
        places: vec![
            place(Method::GET, "/v1/products/{sku}", true, false),
            place(Method::GET, "/v1/products:search", true, false),
            place(Method::GET, "/v1/orders/{order_id}", false, false),
            place(Method::GET, "/v1/news:watch", true, true),
        ],
        flags: Flags::declared("gateway", &[DECLARED]).unwrap(),
    }
}

fn table(text: &str) -> Result<Table, Wrong> {
    read(text, &ground(), &Table::default())
}

/// A file with a backend and what follows.
fn with(rest: &str) -> String {
    format!("[backends.old]\nurl = \"http://old:8080\"\n{rest}")
}

#[test]
fn a_file_says_what_an_old_system_answers() {
    let text = with(
        "limit_ms = 900\nat_once = 7\n\
         [[routes]]\npath = \"/v1/products/{sku}\"\nbackend = \"old\"\nmoved = \"products_moved\"\n\
         shadowed = \"products_shadowed\"\nignore = [\"/product/etag\"]\n\
         [[routes]]\nbelow = \"/old\"\nbackend = \"old\"\nmoved = \"products_moved\"\n\
         [[routes]]\nbelow = \"/old/shop\"\nbackend = \"old\"\nmoved = \"products_moved\"",
    );
    let table = table(&text).unwrap();
    let found = |method: Method, path: &str, template: Option<&str>| {
        table.find(&method, path, template).map(|route| route.name.to_string())
    };

    let template = "/v1/products/{sku}";
    let route = table.find(&Method::GET, "/v1/products/A", Some(template)).unwrap();
    assert_eq!((&*route.name, route.moved.name()), (template, "gateway.products_moved"));
    assert!(route.shadowed.is_some() && route.ignored != Ignored::default());
    let Settings { url, limit, at_once, max_bytes, sends_token, .. } = &route.backend.settings;
    assert_eq!((url.as_str(), limit.as_millis(), *at_once), ("http://old:8080", 900, 7));
    assert_eq!((*max_bytes, *sends_token), (1 << 20, false));

    assert_eq!(found(Method::PUT, "/v1/products/A", Some(template)), None, "another method's");
    assert_eq!(found(Method::PUT, "/old", None).as_deref(), Some("/old/**"));
    assert_eq!(found(Method::GET, "/old/shop/x", None).as_deref(), Some("/old/shop/**"));
    assert_eq!(found(Method::GET, "/older", None), None);
}

#[test]
fn what_cannot_be_is_named_with_its_line_and_what_was_expected() {
    let route = |place: &str, rest: &str| {
        with(&format!("[[routes]]\n{place}\nbackend = \"old\"\nmoved = \"products_moved\"\n{rest}"))
    };
    let good = "path = \"/v1/products/{sku}\"";
    for (text, line, said) in [
        (with("limit = 1"), 3, "unknown field `limit`"),
        (with("limit_ms = 0"), 3, "`limit_ms` is 0: expected 1 to 60000"),
        ("[backends.a]\n\nurl = \"https://old\"".to_owned(), 3, "such as http://old-shop:8080"),
        ("[backends.a]\nurl = \"http://a:b@old\"".to_owned(), 2, "without a user"),
        ("[backends.a]\nurl = \"old:80\"".to_owned(), 2, "is no address"),
        (route(good, "").replace("\"old\"\nmoved", "\"new\"\nmoved"), 5, "expected one of `old`"),
        (
            route(good, "").replace("products_moved", "moved"),
            6,
            "mesh.toml has products_moved, products_",
        ),
        (route(good, "shadowed = \"x\""), 7, "declares no flag `x`"),
        (route(good, "ignore = [\"/a\",\n\"b\"]"), 8, "expected a JSON pointer"),
        (route("path = \"/v1/products/{id}\"", ""), 4, "no contract has GET `/v1/products/{id}`"),
        (route(good, "method = \"PUT\""), 4, "no contract has PUT `/v1/products/{sku}`"),
        (route("path = \"/v1/orders/{order_id}\"", ""), 4, "a backend with `sends_token = true`"),
        (route("path = \"/v1/news:watch\"", ""), 4, "is a stream"),
        (route("below = \"/v1\"", ""), 4, "/v1/orders/{order_id} is not for everybody"),
        (route("below = \"/v1/orders/7\"", ""), 4, "is not for everybody"),
        (route("below = \"/v1/news\"", ""), 4, "is a stream"),
        (route("below = \"old\"", ""), 4, "expected one such as /api/v1"),
        (route("below = \"/old\"", "method = \"GET\""), 7, "leave `method` out"),
        (route("", ""), 5, "expected either `path`"),
        (route(good, "below = \"/old\""), 5, "expected either `path`"),
    ] {
        let wrong = table(&text).unwrap_err();
        assert_eq!(wrong.line, line, "{text}\n{wrong}");
        assert!(wrong.why.contains(said), "{text}\n{wrong}");
    }
    for place in [good, "below = \"/old\""] {
        let once = format!("[[routes]]\n{place}\nbackend = \"old\"\nmoved = \"products_moved\"\n");
        let wrong = table(&with(&once.repeat(2))).unwrap_err();
        assert!(wrong.line == 8 && wrong.why.ends_with("is there twice"), "{wrong}");
    }
}

#[test]
fn a_system_that_verifies_tokens_may_answer_what_is_not_for_everybody() {
    let text = with(
        "sends_token = true\n[[routes]]\npath = \"/v1/orders/{order_id}\"\nbackend = \"old\"\n\
         moved = \"products_moved\"",
    );
    assert_eq!(table(&text).unwrap().bindings.len(), 1);
}

#[test]
fn of_a_system_that_is_as_it_was_everything_is_kept() {
    let (ground, first) = (ground(), table(&with("")).unwrap());
    let kept = |text: &str| {
        let again = read(text, &ground, &first).unwrap();
        Arc::ptr_eq(&again.backends["old"], &first.backends["old"])
    };
    assert!(kept(&with("\n# a word")));
    assert!(!kept(&with("limit_ms = 1")));
}

/// The example is what is read, of all paths that there are.
#[test]
fn the_example_is_one() {
    let text = include_str!("../../../legacy.example.toml");
    let table = table(text).unwrap();

    assert!(!table.bindings.is_empty() && !table.beginnings.is_empty());
    let routes = table.bindings.values();
    assert!(routes.into_iter().all(|route| route.shadowed.is_some()));
}
