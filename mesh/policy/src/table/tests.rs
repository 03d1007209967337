//! The rules of [`Table::from_descriptors`](crate::Table::from_descriptors).

use std::time::Duration;

use super::*;
use crate::{
    Criticality, RetryCodes,
    testing::{SERVICE, compile, method_set},
};

/// What is said about an RPC with these options, and about nothing else.
fn read(service: &str, signature: &str, level: &str, policy: &str) -> Result<Table, Error> {
    Table::from_descriptors(&[&method_set(service, signature, level, policy)])
}

/// Why an RPC with these options is refused. Deadlines are in order.
fn refusal(signature: &str, level: &str, policy: &str) -> String {
    let deadlines = "default_deadline: {seconds: 1}, max_deadline: {seconds: 9}";
    let policy = format!("{{{deadlines}, {policy}}}");
    read(SERVICE, signature, level, &policy).unwrap_err().to_string()
}

const UNARY: &str = "(Keyed) returns (Answer)";
const UPLOAD: &str = "(stream Keyed) returns (Answer)";
const WATCH: &str = "(Keyed) returns (stream Answer)";
const SAFE: &str = "NO_SIDE_EFFECTS";
const IDEMPOTENT: &str = "IDEMPOTENT";
const UNSAFE: &str = "IDEMPOTENCY_UNKNOWN";
const IN_ORDER: &str = "{default_deadline: {seconds: 1}, max_deadline: {seconds: 9}}";

#[test]
fn what_a_contract_says_is_read() {
    let policy = "{default_deadline: {seconds: 1}, max_deadline: {seconds: 9}, hedging: true, \
                  criticality: CRITICALITY_SHEDDABLE, \
                  retry_codes: [STATUS_CODE_UNAVAILABLE, STATUS_CODE_RESOURCE_EXHAUSTED]}";

    let table = read(SERVICE, UNARY, SAFE, policy).unwrap();

    let method = table.method("t.v1.Tested/Call").unwrap();
    assert_eq!(method.default_deadline, Duration::from_secs(1));
    assert_eq!(method.max_deadline, Duration::from_secs(9));
    assert!(method.hedging && !method.is_streaming());
    assert_eq!(method.criticality, Criticality::Sheddable);
    assert_eq!(method.retry_codes.to_string(), "RESOURCE_EXHAUSTED, UNAVAILABLE");
    let service = table.service(method.service()).unwrap();
    assert_eq!((service.owner.as_str(), service.concurrency), ("testers", Some(64)));
}

#[test]
fn unavailable_is_repeated_exactly_where_it_is_safe() {
    for (signature, level, expected) in [
        (UNARY, SAFE, RetryCodes::NONE.with(RetryCodes::UNAVAILABLE)),
        (UNARY, IDEMPOTENT, RetryCodes::NONE.with(RetryCodes::UNAVAILABLE)),
        (WATCH, SAFE, RetryCodes::NONE.with(RetryCodes::UNAVAILABLE)),
        (UNARY, UNSAFE, RetryCodes::NONE),
        (UPLOAD, IDEMPOTENT, RetryCodes::NONE),
    ] {
        let table = read(SERVICE, signature, level, IN_ORDER).unwrap();

        let method = table.method("t.v1.Tested/Call").unwrap();
        assert_eq!(method.retry_codes, expected, "{signature} {level}");
        assert_eq!(method.criticality, Criticality::Default);
        assert!(!method.hedging);
    }
}

#[test]
fn a_service_may_leave_its_bound_out() {
    let table = read("{owner: \"testers\"}", UNARY, SAFE, IN_ORDER).unwrap();

    assert_eq!(table.service("t.v1.Tested").unwrap().concurrency, None);
}

#[test]
fn a_default_above_the_maximum_is_refused() {
    let policy = "{default_deadline: {seconds: 10}, max_deadline: {seconds: 9}}";

    let error = read(SERVICE, UNARY, SAFE, policy).unwrap_err();

    assert_eq!(error.to_string(), "t.v1.Tested/Call: default_deadline is longer than max_deadline");
}

#[test]
fn an_rpc_without_options_is_refused() {
    let set = compile(
        "service Tested { option (mesh.v1.service) = {owner: \"testers\"};
                       rpc Call(Keyed) returns (Answer); }",
    );

    let error = Table::from_descriptors(&[&set]).unwrap_err();

    assert_eq!(error.to_string(), "t.v1.Tested/Call: option mesh.v1.method is missing");
}

#[test]
fn an_rpc_without_deadlines_is_refused() {
    for (policy, part) in [
        ("{max_deadline: {seconds: 9}}", "default_deadline"),
        ("{default_deadline: {seconds: 1}}", "max_deadline"),
        ("{default_deadline: {seconds: -1}, max_deadline: {seconds: 9}}", "default_deadline"),
        ("{default_deadline: {}, max_deadline: {seconds: 9}}", "default_deadline"),
    ] {
        let error = read(SERVICE, UNARY, SAFE, policy).unwrap_err();

        assert_eq!(error, Error::Missing { subject: "t.v1.Tested/Call".into(), part }, "{policy}");
    }
}

#[test]
fn a_request_id_for_what_changes_nothing_is_refused() {
    let why = refusal(UNARY, SAFE, "request_id: REQUEST_ID_RULE_REQUIRED");

    assert!(why.contains("without side effects needs no request_id"), "{why}");
}

#[test]
fn a_request_id_that_the_request_has_no_field_for_is_refused() {
    let why =
        refusal("(Bare) returns (Answer)", IDEMPOTENT, "request_id: REQUEST_ID_RULE_REQUIRED");

    assert!(why.contains("the request has no such field"), "{why}");
}

#[test]
fn a_request_id_rule_on_what_is_not_called_idempotent_is_refused() {
    for rule in ["REQUIRED", "EXEMPT"] {
        let why = refusal(UNARY, UNSAFE, &format!("request_id: REQUEST_ID_RULE_{rule}"));

        assert!(why.contains("its idempotency_level does not"), "{why}");
    }
}

#[test]
fn hedging_of_what_has_side_effects_is_refused() {
    for level in [IDEMPOTENT, UNSAFE] {
        let why = refusal(UNARY, level, "hedging: true");

        assert!(why.contains("hedging runs it twice, but it is not NO_SIDE_EFFECTS"), "{why}");
    }
}

#[test]
fn hedging_of_a_stream_of_requests_is_refused() {
    let why = refusal(UPLOAD, SAFE, "hedging: true");

    assert!(why.contains("a stream of requests twice"), "{why}");
}

#[test]
fn hedging_of_a_stream_of_answers_is_refused() {
    let why = refusal(WATCH, SAFE, "hedging: true");

    assert!(why.contains("two streams of answers"), "{why}");
}

#[test]
fn every_code_that_is_never_safe_to_repeat_is_refused() {
    for (code, reason) in [
        ("UNSPECIFIED", "OK is no failure"),
        ("CANCELLED", "nobody waits"),
        ("UNKNOWN", "nobody knows"),
        ("INTERNAL", "meets again"),
        ("DATA_LOSS", "stays lost"),
        ("DEADLINE_EXCEEDED", "no time is left"),
        ("ABORTED", "reads again first"),
        ("PERMISSION_DENIED", "it is an answer"),
        ("INVALID_ARGUMENT", "it is an answer"),
    ] {
        let why = refusal(UNARY, SAFE, &format!("retry_codes: [STATUS_CODE_{code}]"));

        assert!(why.contains("is not safe to repeat after") && why.contains(reason), "{why}");
    }
}

#[test]
fn retry_codes_on_what_is_not_safe_to_repeat_are_refused() {
    let why = refusal(UNARY, UNSAFE, "retry_codes: [STATUS_CODE_UNAVAILABLE]");

    assert!(why.contains("no idempotency_level says that it is safe to repeat"), "{why}");
}

#[test]
fn retry_codes_on_a_stream_of_requests_are_refused() {
    let why = refusal(UPLOAD, IDEMPOTENT, "retry_codes: [STATUS_CODE_UNAVAILABLE]");

    assert!(why.contains("a stream of requests is never sent again"), "{why}");
}

#[test]
fn a_code_that_is_listed_twice_is_refused() {
    let why =
        refusal(UNARY, SAFE, "retry_codes: [STATUS_CODE_UNAVAILABLE, STATUS_CODE_UNAVAILABLE]");

    assert!(why.contains("retry_codes lists UNAVAILABLE twice"), "{why}");
}

#[test]
fn a_service_without_options_is_refused() {
    let set = compile("service Tested {}");

    let error = Table::from_descriptors(&[&set]).unwrap_err();

    assert_eq!(error.to_string(), "t.v1.Tested: option mesh.v1.service is missing");
}

#[test]
fn a_service_without_an_owner_is_refused() {
    for service in ["{concurrency: 64}", "{owner: \"\", concurrency: 64}"] {
        let error = read(service, UNARY, SAFE, IN_ORDER).unwrap_err();

        assert_eq!(error.to_string(), "t.v1.Tested: owner is missing");
    }
}

#[test]
fn a_service_that_may_do_nothing_is_refused() {
    let error = read("{owner: \"testers\", concurrency: 0}", UNARY, SAFE, IN_ORDER).unwrap_err();

    assert!(error.to_string().contains("a concurrency of 0 would refuse every call"), "{error}");
}

#[test]
fn every_operator_rpc_has_a_policy() {
    let table = Table::from_descriptors(&[mesh_proto::DESCRIPTORS]).unwrap();

    assert!(table.methods().count() > 0);
    assert!(table.methods().all(|method| method.default_deadline <= method.max_deadline));
}

#[test]
fn a_set_may_occur_twice() {
    let once = Table::from_descriptors(&[mesh_proto::DESCRIPTORS]).unwrap();
    let twice =
        Table::from_descriptors(&[mesh_proto::DESCRIPTORS, mesh_proto::DESCRIPTORS]).unwrap();

    assert_eq!(once.methods().count(), twice.methods().count());
}

#[test]
fn an_unknown_method_has_none() {
    let table = Table::from_descriptors(&[mesh_proto::DESCRIPTORS]).unwrap();

    assert_eq!(table.method("mesh.operator.v1.SagasService/Nothing"), None);
}

#[test]
fn garbage_is_refused() {
    assert!(matches!(Table::from_descriptors(&[b"\xff\xff"]), Err(Error::Set(_))));
}
