use tonic_types::ErrorDetails;

use super::*;
use crate::disposition;

fn plain(code: Code) -> Status {
    Status::with_error_details(code, "no", ErrorDetails::new())
}

fn with_header(code: Code, names: &[&'static str]) -> Status {
    let mut status = plain(code);
    for name in names {
        status.metadata_mut().append(HEADER_NAME, MetadataValue::from_static(name));
    }
    status
}

#[test]
fn a_refusal_of_this_side_is_typed_and_was_never_sent() {
    for refused in Refusal::ALL {
        let status = transport::refused(refused, "no");

        assert_eq!(refusal(&status), Some(refused));
        assert_eq!(disposition(&status), Disposition::NotSent);
        assert_eq!(status.code(), refused.code());
    }
}

#[test]
fn every_reason_has_a_name_of_its_own_and_is_in_the_list() {
    for (place, one) in Refusal::ALL.into_iter().enumerate() {
        assert_eq!(Refusal::parse(one.as_str().as_bytes()), Some(one), "{place}");
    }
}

#[test]
fn a_refusal_of_the_callees_stack_is_known_by_its_domain() {
    let of = |domain: &str, reason: &str| {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, domain, []);
        refusal(&Status::with_error_details(Code::ResourceExhausted, "no", details))
    };

    assert_eq!(of("mesh", "OVERLOADED"), Some(Refusal::Overloaded));
    assert_eq!(of("mesh", "SOMETHING_NEW"), None);
    assert_eq!(of("mesh", "CIRCUIT_OPEN"), None, "only this side can know");
    assert_eq!(of("orders", "OVERLOADED"), None, "a service's own word");
    assert_eq!(refusal(&Status::with_error_details(Code::Ok, "", ErrorDetails::new())), None);
}

#[test]
fn only_the_header_of_a_refusal_before_the_handler_says_unprocessed_and_it_is_not_handed_on() {
    for refused in Refusal::ALL {
        let status = understood(with_header(refused.code(), &[refused.as_str()]));

        let before = refused.is_callees() && refused.is_unprocessed();
        let expected = if before { Disposition::Unprocessed } else { Disposition::MaybeProcessed };
        assert_eq!(disposition(&status), expected, "{refused}");
        assert!(!status.metadata().contains_key(HEADER_NAME));
    }
}

#[test]
fn a_header_that_does_not_fit_its_status_says_nothing() {
    for (code, name) in [
        (Code::Unavailable, "OVERLOADED"),
        (Code::ResourceExhausted, "SOMETHING_NEW"),
        (Code::ResourceExhausted, "BULKHEAD"),
        (Code::Internal, "STOPPING"),
    ] {
        let status = understood(with_header(code, &[name]));

        assert_eq!(disposition(&status), Disposition::MaybeProcessed, "{code:?} {name}");
        assert_eq!(refusal(&status), None);
    }
}

#[test]
fn an_answer_that_was_not_asked_for_again_says_so() {
    let mut status = plain(Code::Unavailable);
    let mut headers = HeaderMap::new();
    note_budget_spent(&mut headers);
    *status.metadata_mut() = MetadataMap::from_headers(headers);

    assert_eq!(refusal(&status), Some(Refusal::BudgetSpent));
    assert_eq!(disposition(&understood(status)), Disposition::MaybeProcessed);
}

#[test]
fn a_spent_budget_does_not_hide_that_the_callee_did_nothing() {
    let status = understood(with_header(Code::Unavailable, &["STOPPING", "BUDGET_SPENT"]));

    assert_eq!(refusal(&status), Some(Refusal::BudgetSpent));
    assert_eq!(disposition(&status), Disposition::Unprocessed);
}
