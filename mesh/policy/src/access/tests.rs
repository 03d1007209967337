//! Which rules are read, and which are refused.

use super::*;
use crate::{Error, Table, testing::compile};

const METHOD: &str =
    "option (mesh.v1.method) = {default_deadline: {seconds: 1}, max_deadline: {seconds: 9}};";

/// A service with one RPC, and these rules for the one and the other.
fn read(signature: &str, own: &str, default: &str) -> Result<Access, Error> {
    let option = |name: &str, rule: &str| match rule {
        "" => String::new(),
        rule => format!("option (mesh.v1.{name}) = {{{rule}}};"),
    };
    let (own, default) = (option("access", own), option("default_access", default));
    let set = compile(&format!(
        "message Named {{ string customer_id = 2; bytes raw = 3; repeated string all = 4;
                          oneof one {{ string either = 5; }} }}
         service Tested {{ option (mesh.v1.service) = {{owner: \"testers\"}}; {default}
           rpc Call{signature} {{ {METHOD} {own} }} }}"
    ));
    let table = Table::from_descriptors(&[&set])?;
    Ok(table.method("t.v1.Tested/Call").unwrap().access.clone())
}

const UNARY: &str = "(Named) returns (Answer)";

fn refusal(rule: &str) -> String {
    read(UNARY, rule, "").unwrap_err().to_string()
}

#[test]
fn a_rule_is_an_rpcs_own_or_else_its_services() {
    let own = read(UNARY, "permission: \"orders.manage\"", "public: true").unwrap();
    assert_eq!(own.permissions, ["orders.manage".into()]);
    assert!(!own.public);

    assert_eq!(read(UNARY, "", "public: true").unwrap(), Access::PUBLIC);
}

#[test]
fn an_rpc_without_a_rule_is_refused_by_its_name() {
    let error = read(UNARY, "", "").unwrap_err();

    let said = "t.v1.Tested/Call: option mesh.v1.access (or mesh.v1.default_access of its service) \
                is missing";
    assert_eq!(error.to_string(), said);
}

#[test]
fn whoever_a_part_of_a_rule_fits_is_said_in_words() {
    let rule = "owner: \"customer_id\", permission: [\"orders.manage\", \"a.b_c\"], service: true, \
                operator: true";

    let access = read(UNARY, rule, "").unwrap();

    let name = "customer_id".into();
    assert_eq!(access.owner, Some(Owner::Field { name, number: 2 }));
    assert_eq!(
        access.to_string(),
        "the user in `customer_id`, users with `orders.manage`, users with `a.b_c`, services that \
         declare it, operators"
    );
    let resource = read(UNARY, "owner_of_resource: true", "").unwrap();
    assert_eq!(resource.owner, Some(Owner::Resource));
    assert_eq!(Access::PUBLIC.to_string(), "everybody");
    assert!(access.is_for_users() && !Access::PUBLIC.is_for_users());
}

#[test]
fn an_owner_is_in_a_field_that_is_there_and_is_one_string() {
    assert!(refusal("owner: \"customer\"").contains("a field that Named has not"));
    for field in ["raw", "all", "either"] {
        let why = refusal(&format!("owner: \"{field}\""));
        assert!(why.contains("which is not simply a string"), "{why}");
    }
    let upload = read("(stream Named) returns (Answer)", "owner: \"customer_id\"", "");
    assert!(upload.unwrap_err().to_string().contains("could name another owner"));
}

#[test]
fn a_rule_that_contradicts_itself_or_names_nobody_is_refused() {
    for (rule, why) in [
        ("public: false", "names nobody"),
        ("public: true, service: true", "lets everybody in"),
        ("signed_in: true, permission: \"orders.manage\"", "lets every user in"),
        ("owner: \"customer_id\", owner_of_resource: true", "two answers to one question"),
        ("permission: \"Orders manage\"", "is no permission"),
        ("permission: \"\"", "is no permission"),
    ] {
        let said = refusal(rule);
        assert!(said.starts_with("t.v1.Tested/Call: ") && said.contains(why), "{rule}: {said}");
    }
}

#[test]
fn fields_that_are_not_for_everybody_are_known_by_their_names() {
    let set = compile(
        "message Card { string number = 1 [(mesh.v1.sensitivity) = SENSITIVITY_SECRET];
                        string holder = 2 [(mesh.v1.sensitivity) = SENSITIVITY_PERSONAL];
                        string brand = 3; }",
    );
    let table = Table::from_descriptors(&[&set]).unwrap();

    let of = |field: &str| table.sensitivity(&format!("t.v1.Card.{field}"));
    assert_eq!(of("number").map(Sensitivity::as_str), Some("secret"));
    assert_eq!(of("holder").map(Sensitivity::as_str), Some("personal"));
    assert_eq!(of("brand"), None);

    let unsaid = compile(
        "message Card { string number = 1 [(mesh.v1.sensitivity) = SENSITIVITY_UNSPECIFIED]; }",
    );
    let error = Table::from_descriptors(&[&unsaid]).unwrap_err().to_string();
    assert!(error.starts_with("t.v1.Card.number: its sensitivity is not known"), "{error}");
}
