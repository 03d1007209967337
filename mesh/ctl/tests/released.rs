//! `migrations`, `affected` and `deliver`: what a release is made of, by the real program.

use serde_json::Value;

use crate::shop::Shop;

#[test]
fn migrations_as_they_stand_are_survived_by_the_release_before() {
    let shop = Shop::bare("migrations");

    let output = shop.succeeds(&["migrations"]);
    let report = shop.succeeds(&["migrations", "--json"]);

    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(" does not have ") && said.contains(", and survives them"), "{said}");
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert!(report["release"].is_string() && report["findings"].as_array().unwrap().is_empty());
    let twice = shop.run(&["migrations", "--record", report["release"].as_str().unwrap()]);
    assert_eq!(twice.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&twice.stderr).contains("was published before"));
}

#[test]
fn what_a_change_affects_is_told_and_no_commit_is_a_mistake() {
    let shop = Shop::bare("affected");

    let output = shop.succeeds(&["affected", "--since", "HEAD", "--json"]);
    let nobody = shop.run(&["affected", "--since", "no-such-branch"]);

    let affected: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(affected["files"].is_u64() && affected["images"].is_array(), "{affected}");
    assert_eq!(nobody.status.code(), Some(1));
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(said.contains("there is no commit `no-such-branch` here"), "{said}");
}

#[test]
fn an_image_that_may_become_another_is_not_delivered() {
    let shop = Shop::bare("deliver");

    for (arguments, said) in [
        (&["--image", "ghcr.io/me/orders:v2", "--weight", "5"][..], "name it by its digest"),
        (&["--image", "orders@sha256:12", "--weight", "5"], "name it by its digest"),
        (&["--promote", "--withdraw"], "cannot be used with"),
        (&["--weight", "5"], "--image"),
    ] {
        let output = shop.run(&[&["deliver", "orders"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(said), "{error}");
    }
    let nothing = shop.run(&["deliver", "orders", "--withdraw", "--overlay", "local"]);
    assert_eq!(nothing.status.code(), Some(1));
    let error = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert!(error.contains("images are delivered to overlays that have this file"), "{error}");
}
