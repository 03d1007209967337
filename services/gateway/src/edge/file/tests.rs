use super::*;

struct Shop;

impl Places for Shop {
    fn has_rpc(&self, name: &str) -> bool {
        name == "shop.orders.v1.OrdersService/PlaceOrder"
    }

    fn has_path(&self, path: &str) -> bool {
        ["/v1", "/v1/orders"].contains(&path)
    }
}

#[test]
fn a_file_says_what_is_done_at_the_edge() {
    let text = r#"
[rates.address]
requests = 600
seconds = 60

[rates.user]
requests = 1200
seconds = 60

[rates.rpcs]
"shop.orders.v1.OrdersService/PlaceOrder" = { requests = 10, seconds = 60 }

[request]
remove = ["accept-language"]
rename = { x-lang = "accept-language" }
set = { x-channel = "web" }

[answer]
set = { x-served-by = "shop" }

[[rewrites]]
from = "/api"
to = "/v1"
"#;
    let sheet = Sheet::read(text, &Shop).unwrap();

    assert!(sheet.rates.address.is_some() && sheet.rates.user.is_some());
    assert!(sheet.rates.rpcs.contains_key("/shop.orders.v1.OrdersService/PlaceOrder"));
    let names: Vec<_> = sheet.request.names().map(HeaderName::as_str).collect();
    assert_eq!(names, ["accept-language", "x-channel"]);
    assert_eq!(sheet.answer.set.len(), 1);
    assert_eq!(sheet.rewrites.0, [("/api".to_owned(), "/v1".to_owned())]);
    assert!(Sheet::read("", &Shop).unwrap().rates.address.is_none(), "nothing is done then");
}

#[test]
fn gateways_share_what_is_meant_for_all_of_them() {
    let text = "[rates]\ngateways = 3\n[rates.user]\nrequests = 200\nseconds = 60\n[rates.rpcs]\n\
                \"shop.orders.v1.OrdersService/PlaceOrder\" = { requests = 3, seconds = 9 }";
    let rates = Sheet::read(text, &Shop).unwrap().rates;

    assert_eq!(rates.user.unwrap().quota, Quota { requests: 66, seconds: 60 });
    let rpc = &rates.rpcs["/shop.orders.v1.OrdersService/PlaceOrder"];
    assert_eq!(rpc.quota, Quota { requests: 1, seconds: 9 });
}

#[test]
fn what_cannot_be_is_named_with_its_line_and_what_was_expected() {
    for (text, line, said) in [
        ("[rates.address]\nrequests = 1\nsecond = 1", 3, "unknown field `second`"),
        ("[rates.address]\nrequests = 1", 1, "missing field `seconds`"),
        ("[rates]\naddress = 7", 2, "expected struct"),
        ("\n[rates.user]\nrequests = 0\nseconds = 1", 3, "`requests` is 0: expected 1 to 1000000"),
        ("[rates]\ngateways = 0", 2, "`gateways` is 0: expected 1 to 1000"),
        (
            "[rates]\ngateways = 3\n[rates.user]\nrequests = 2\nseconds = 1",
            4,
            "none is left for some of 3 gateways: expected at least 3",
        ),
        ("[rates.rpcs]\n\"a.B/C\" = { requests = 1, seconds = 1 }", 2, "expected package.Service"),
        ("[request]\nset = { te = \"x\" }", 2, "says how a message is read"),
        ("[request]\nset = { \"a b\" = \"x\" }", 2, "is no header"),
        ("[request]\n\nset = { x-mesh-service-token = \"x\" }", 3, "services believe"),
        ("[request]\nrename = { a = \"x-forwarded-client-cert\" }", 2, "services believe"),
        ("[request]\nset = { a = \"x\\ny\" }", 2, "on one line"),
        ("[answer]\nremove = [\"x\",\n \"grpc-status\"]", 3, "says how a message is read"),
        ("[[rewrites]]\nfrom = \"api\"\nto = \"/v1\"", 2, "expected one such as /api/v1"),
        ("[[rewrites]]\nfrom = \"/api/\"\nto = \"/v1\"", 2, "expected one such as /api/v1"),
        ("[[rewrites]]\nfrom = \"/api\"\nto = \"/v2\"", 3, "nothing is at `/v2` or below it"),
        ("rates = [", 1, ""),
    ] {
        let wrong = Sheet::read(text, &Shop).unwrap_err();
        assert_eq!(wrong.line, line, "{text:?}: {wrong}");
        assert!(wrong.why.contains(said), "{text:?}: {wrong}");
    }
    let twice = "[[rewrites]]\nfrom = \"/a\"\nto = \"/v1\"\n".repeat(2);
    assert_eq!(Sheet::read(&twice, &Shop).unwrap_err().to_string(), "line 5: `/a` is there twice");
}

/// What the README shows is what is read.
#[test]
fn the_example_is_one() {
    struct All;
    impl Places for All {
        fn has_rpc(&self, _name: &str) -> bool {
            true
        }

        fn has_path(&self, _path: &str) -> bool {
            true
        }
    }
    let readme = include_str!("../../../README.md");
    let example = readme.split("```toml\n").nth(1).and_then(|text| text.split("```").next());

    let sheet = Sheet::read(example.unwrap(), &All).unwrap();
    assert!(sheet.rates.user.is_some() && sheet.rates.rpcs.len() == 1);
    assert!(!sheet.request.rename.is_empty() && !sheet.rewrites.0.is_empty());
}
