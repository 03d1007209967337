//! `demo --watch`: one order's life, with kills in the middle.

use serde_json::Value;

use crate::shop::Shop;

#[test]
fn an_order_that_is_watched_is_confirmed_though_whoever_is_next_is_killed() {
    let shop = Shop::clean("watch");
    let nobody = shop.run(&["demo", "--watch"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("up --detach"));
    let up = shop.succeeds(&["up", "--detach", "--json"]);
    let up: Value = serde_json::from_slice(&up.stdout).unwrap();
    assert_eq!(up["customers"].as_array().unwrap().len(), 2);

    let quiet = told(&shop, &["demo", "--watch", "--json"]);
    assert!(moments(&quiet, "killed").is_empty());
    assert_eq!(moments(&quiet, "recorded").len(), 8, "{quiet:#}");

    for (asked, victim, step) in [
        ("payments", "payments", "authorize"),
        ("commit", "inventory", "commit"),
        ("orders", "orders", "authorize"),
    ] {
        let before = shop.state();
        let story = told(&shop, &["demo", "--watch", "--json", "--kill", asked]);

        let killed = moments(&story, "killed");
        assert_eq!(killed.len(), 1, "{story:#}");
        assert_eq!(
            (killed[0]["service"].as_str(), killed[0]["step"].as_str()),
            (Some(victim), Some(step))
        );
        assert_eq!(moments(&story, "back").len(), 1);
        // The kill was real.
        let pid = format!("/services/{victim}/0/pid");
        assert_ne!(shop.state().pointer(&pid), before.pointer(&pid), "{victim} is another process");
        // And came before what it hit: that was done all the same, once.
        let all = story["moments"].as_array().unwrap();
        let place = |kind: &str| {
            let is_it = |it: &&Value| it["kind"] == kind && it["step"] == step;
            all.iter().position(|it| is_it(&it)).unwrap()
        };
        assert!(place("killed") < place("recorded"), "{story:#}");
        assert!(all[place("recorded")]["text"].as_str().unwrap().contains("same key"));
    }

    // On the way everybody was held for a moment; nobody is any more.
    let paced = told(&shop, &["demo", "--watch", "--json", "--pace", "50ms"]);
    assert_eq!(moments(&paced, "next").len(), 6, "{paced:#}");
    assert!(shop.run(&["status"]).status.success());

    for (arguments, way_out) in [
        (&["demo", "--watch", "--kill", "catalog"][..], "say a step (reserve"),
        (&["demo", "--watch", "--pace", "1m"], "at most 3s"),
        (&["demo", "--kill", "payments"], "--watch"),
    ] {
        let refused = shop.run(arguments);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(said.contains(way_out), "{said}");
    }
}

/// The story that the program tells; confirmed, and right everywhere.
fn told(shop: &Shop, arguments: &[&str]) -> Value {
    let output = shop.succeeds(arguments);
    let story: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(story["confirmed"], true, "{story:#}");
    assert_eq!(story["shop_clean"], true, "{story:#}");
    let proofs = story["proofs"].as_array().unwrap();
    assert!(proofs.len() == 5 && proofs.iter().all(|proof| proof["right"] == true), "{story:#}");
    story
}

fn moments<'a>(story: &'a Value, kind: &str) -> Vec<&'a Value> {
    story["moments"].as_array().unwrap().iter().filter(|it| it["kind"] == kind).collect()
}
