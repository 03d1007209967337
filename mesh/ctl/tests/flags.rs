//! `flags` against a broker: what is said of a flag is kept with who said it, and what is not declared
//! is refused.

use std::process::Output;

use serde_json::{Value, json};

use crate::shop::Shop;

const STOCK: &str = "storefront.home_stock";

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_flag_is_turned_read_let_go_and_its_history_names_who_did() {
    let shop = Shop::bare("flags");
    let broker = mesh_testkit::isolated_nats().await;
    let url = broker.url();
    let provision = shop.run(&["provision", "streams", "--nats-url", &url]);
    assert!(provision.status.success(), "{provision:?}");
    let flags = |arguments: &[&str]| {
        let all = [&["flags", "--nats-url", &url], arguments].concat();
        shop.run_in(&[("USER", "ada")], &all)
    };
    let json = |arguments: &[&str]| -> Value {
        let output = flags(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let of =
        |value: &Value| value.as_array().unwrap().iter().find(|it| it["flag"] == STOCK).cloned();

    let listed = of(&json(&["list"])).unwrap();
    assert_eq!((&listed["default"], &listed["rule"]), (&json!(true), &Value::Null));

    let set = json(&["set", STOCK, "off", "--user", "u1=on", "--why", "too slow"]);
    let set = of(&set).unwrap();
    assert_eq!(set["rule"], json!({ "percent": 0, "users": { "u1": true } }));
    assert_eq!(
        (&set["changed"]["by"], &set["changed"]["why"]),
        (&json!("ada"), &json!("too slow"))
    );
    let on = |user: &str| json(&["get", STOCK, "--user", user])["on"].clone();
    assert_eq!((on("u1"), on("u2")), (json!(true), json!(false)));
    assert_eq!(text(&flags(&["get", STOCK, "--user", "u1"])).0, "on\n");

    json(&["set", STOCK, "--percent", "25", "--user", "u1=unset", "--by", "grace"]);
    let (table, _) = text(&flags(&[]));
    let line = table.lines().find(|line| line.contains(STOCK)).unwrap();
    assert!(line.contains("25 %") && line.contains("grace"), "{table}");

    json(&["unset", STOCK]);
    let history = json(&["history", STOCK]);
    let told: Vec<_> = history.as_array().unwrap().iter().map(|it| &it["by"]).collect();
    assert_eq!(told, ["ada", "grace", "ada"]);
    assert_eq!(history[0]["rule"], Value::Null);
    let (table, _) = text(&flags(&["history", STOCK]));
    assert!(table.contains("as declared") && table.contains("u1=on"), "{table}");
    assert!(table.contains("25 %") && table.contains("too slow"), "{table}");
}

#[tokio::test]
async fn a_mistaken_change_is_refused_with_the_way_out_and_changes_nothing() {
    let shop = Shop::bare("flags-refused");
    let broker = mesh_testkit::isolated_nats().await;
    let url = broker.url();
    for (variables, arguments, code, said) in [
        (&[][..], &["set", "storefront.stock", "off"][..], 1, "say one of "),
        (&[], &["set", STOCK, "off", "--percent", "5"], 2, "cannot be used with"),
        (&[], &["set", STOCK, "--percent", "101"], 2, "101 is not in 0..=100"),
        (&[], &["set", STOCK], 2, "required"),
        (&[], &["set", STOCK, "--user", "u1"], 2, "say ID=on, ID=off or ID=unset"),
        (&[("USER", "")], &["set", STOCK, "off"], 1, "say --by NAME"),
        (&[("USER", "ada")], &["set", STOCK, "--user", "a b=on"], 1, "`a b` is no user"),
        (&[("USER", "ada")], &["set", STOCK, "on", "--why", "a\nb"], 1, "on one line"),
    ] {
        if code == 1 {
            shop.succeeds(&["provision", "streams", "--nats-url", &url]);
        }
        let output = shop.run_in(variables, &[&["flags", "--nats-url", &url], arguments].concat());
        let (_, error) = text(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
    let kept = shop.succeeds(&["flags", "history", STOCK, "--nats-url", &url, "--json"]);
    assert_eq!(text(&kept).0.trim(), "[]");

    let nowhere = shop.run(&["flags"]);
    let (_, error) = text(&nowhere);
    assert!(nowhere.status.code() == Some(1) && error.contains("nothing is up here"), "{error}");
    let no_bucket = mesh_testkit::isolated_nats().await;
    let output = shop.run(&["flags", "--nats-url", &no_bucket.url()]);
    let (_, error) = text(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("bucket `flags` cannot be used"), "{error}");
}
