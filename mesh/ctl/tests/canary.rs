//! `canary` where nothing can be walked: it is said before anything is done. With a shop behind sidecars,
//! see `tests/by_traffic/rollout.rs`.

use std::path::Path;

use mesh_testkit::image::{Added, Image};

use crate::shop::Shop;

fn refused(shop: &Shop, arguments: &[&str]) -> String {
    let output = shop.run(&[&["canary"], arguments].concat());
    assert!(!output.status.success(), "{arguments:?}");
    assert!(!shop.home.path("canary").exists(), "{arguments:?} began something");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_is_no_walk_is_refused_before_anything_is_looked_for() {
    let shop = Shop::bare("canary");
    let sh = ["orders", "--binary", "/bin/sh"];
    let with = |more: &[&'static str]| -> Vec<&str> { [&sh[..], more].concat() };

    for (arguments, why) in [
        (vec!["nobody", "--binary", "/bin/sh"], "there is no service `nobody`"),
        (vec!["orders"], "<--binary <PROGRAM>|--image <REF>|--abort>"),
        (with(&["--image", "orders:v2"]), "cannot be used with"),
        (vec!["orders", "--image", "orders:v2", "--abort"], "cannot be used with"),
        (vec!["orders", "--image", "/no/such"], "because there is no /no/such"),
        (vec!["orders", "--image", "/etc/passwd"], "/etc/passwd is no tar"),
        (vec!["orders", "--binary", "/no/such"], "there is no /no/such"),
        (vec!["orders", "--binary", "/etc/passwd"], "/etc/passwd is no program that can be run"),
        (with(&["--version", "v1"]), "orders v1 takes calls already"),
        (with(&["--version", "V 2"]), "small letters and digits"),
        (with(&["--steps", "50,25,100"]), "steps rise, and 25 comes after 50"),
        (with(&["--steps", "1,150"]), "150 is no share of a hundred calls"),
        (with(&["--steps", "1,50"]), "the last step is 100"),
        (with(&["--hold", "soon"]), "`soon` is no unit of time"),
        (with(&["--min-calls", "5"]), "5 is not in 20.."),
        (with(&["--max-error-ratio", "5"]), "a share from 0 to below 1"),
        (with(&["--max-slower", "0"]), "a factor from 1 to 100"),
        (with(&["--abort"]), "cannot be used with"),
        (with(&[]), "nothing is up here"),
    ] {
        let said = refused(&shop, &arguments);
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
}

/// What an image is called is what the version is called, unless something else is said.
#[test]
fn an_image_is_looked_into_before_the_shop_is_looked_for() {
    let shop = Shop::bare("canary-image");
    let path = shop.home.path("it.tar").display().to_string();
    for (tag, more, why) in [
        ("v2", &[][..], "nothing is up here"),
        ("v1", &[], "orders v1 takes calls already"),
        ("v1", &["--version", "v2"], "nothing is up here"),
        // No version can be called so: the next one is meant.
        ("V_1.0", &[], "nothing is up here"),
    ] {
        let image = Image::running("/orders", tag).with(&[Added::File("orders", b"")]).unwrap();
        image.write(Path::new(&path)).unwrap();
        let said = refused(&shop, &[&["orders", "--image", &path], more].concat());
        assert!(said.contains(why), "{tag} {more:?}: {said}");
    }
}

#[test]
fn where_nothing_was_walked_there_is_nothing_to_put_back() {
    let shop = Shop::bare("canary-none");

    let said = shop.succeeds(&["canary", "orders", "--abort"]).stdout;

    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("no version of orders takes over"), "{said}");
    let json = shop.succeeds(&["canary", "orders", "--abort", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json, serde_json::json!({ "put_back": null }));
}
