//! What traffic makes of routes: by the service of a test, with two versions.

use mesh_local::Declaration;

use super::*;
use crate::generate::cluster::Traffic;

const DECLARED: &str =
    "service = \"catalog\"\ncontract = \"shop.catalog.v1\"\nversions = [\"v1\", \"v2\"]";
const INGRESS: &str = "[ingress]\nhosts = [\"a.b\"]\nnamespace = \"i\"\nservice_account = \"i\"\n\
                       label = \"i\"\ncluster_issuer = \"c\"\n";

fn routes(traffic: &str) -> Value {
    let declarations = [Declaration::parse(DECLARED).unwrap()];
    let traffic = Traffic::parse(&format!("{INGRESS}{traffic}"), &declarations).unwrap();
    let plan = Plan::with(&declarations, traffic).unwrap();
    let objects = routing::of(&plan, &plan.services[0]).unwrap();
    let found = objects.into_iter().find(|object| object["kind"] == "VirtualService");
    found.unwrap()["spec"]["http"].clone()
}

#[test]
fn without_a_word_all_calls_go_to_the_first_version_and_nothing_is_done_to_them() {
    let http = routes("");

    let [all] = &http.as_array().unwrap()[..] else { panic!("{http}") };
    assert_eq!(all["route"].as_array().unwrap().len(), 1);
    assert_eq!(all["route"][0]["destination"]["subset"], "v1");
    assert_eq!(all["route"][0]["weight"], 100);
    assert_eq!(all["retries"], json!({ "attempts": 0 }));
    assert!(all.get("fault").is_none() && all.get("mirror").is_none());
}

#[test]
fn a_canary_has_its_share_and_whoever_asks_for_it() {
    let http = routes("[services.catalog]\nweights = { v1 = 95, v2 = 5 }\ncanary = \"v2\"");

    let [canary, all] = &http.as_array().unwrap()[..] else { panic!("{http}") };
    assert_eq!(canary["match"], json!([{ "headers": { "x-canary": { "exact": "true" } } }]));
    assert_eq!(canary["route"][0]["destination"]["subset"], "v2");
    assert_eq!(
        canary["retries"]["attempts"], 0,
        "a route of its own, and no attempts there either"
    );
    let shares = all["route"].as_array().unwrap().iter();
    let shares: Vec<_> = shares.map(|it| (&it["destination"]["subset"], &it["weight"])).collect();
    assert_eq!(shares, [(&json!("v1"), &json!(95)), (&json!("v2"), &json!(5))]);
}

#[test]
fn a_share_of_the_users_stays_on_its_side_and_whoever_is_nobody_goes_by_weight() {
    let http = routes(
        "[services.catalog]\nweights = { v1 = 80, v2 = 20 }\nsticky = true\n\
         fault = { abort_percent = 1 }",
    );

    let [second, first, all] = &http.as_array().unwrap()[..] else { panic!("{http}") };
    for (side, version, users) in [(second, "v2", "[0-1][0-9]"), (first, "v1", "[2-9][0-9]")] {
        assert_eq!(side["match"], json!([{ "headers": { "x-user-bucket": { "regex": users } } }]));
        assert_eq!(side["route"].as_array().unwrap().len(), 1);
        assert_eq!(side["route"][0]["destination"]["subset"], version);
        assert_eq!(side["route"][0]["weight"], 100);
        assert_eq!(side["name"], format!("users-{version}"));
        for same in ["retries", "timeout", "fault"] {
            assert_eq!(side[same], all[same], "{same}");
        }
    }
    assert_eq!(all["route"].as_array().unwrap().len(), 2);

    // Where there is no choice, nobody has to be told apart.
    let whole = routes("[services.catalog]\nweights = { v2 = 100 }\nsticky = true");
    assert_eq!(whole.as_array().unwrap().len(), 1);
}

#[test]
fn copies_and_faults_are_where_they_are_asked_for() {
    let http = routes(
        "[services.catalog]\nmirror = { version = \"v2\", percent = 10 }\n\
         fault = { abort_percent = 1, delay = { milliseconds = 200, percent = 5 } }",
    );

    let all = &http[0];
    assert_eq!(all["mirror"]["subset"], "v2");
    assert_eq!(all["mirrorPercentage"]["value"], 10);
    assert_eq!(all["fault"]["abort"]["grpcStatus"], "UNAVAILABLE");
    assert_eq!(all["fault"]["abort"]["percentage"]["value"], 1);
    assert_eq!(all["fault"]["delay"]["fixedDelay"], "200ms");
    assert_eq!(all["fault"]["delay"]["percentage"]["value"], 5);
}
