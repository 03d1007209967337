//! Every request with every field wrong in every way: refused by the field's name, or accepted for a
//! good reason; never a fault of ours, never a row left behind.

use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{
    bounds,
    call::{Rpc, rpcs},
    fields::{Variant, variants, with_foreign_fields},
    rows::{Tables, growth},
    samples::{check, sample},
};
use crate::{evidence::reason, shop::Shop};

/// Refusals that are facts of their own: a payment that the processor declined is one.
const RECORDED: [(&str, &str); 1] =
    [("shop.payments.v1.PaymentsService/AuthorizePayment", "card_token")];

/// A field that is cut off, and a number without an end.
const NO_MESSAGE: [&[u8]; 2] = [&[0x0a, 0x05], &[0xff; 11]];

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_every_rpc_is_refused_by_its_name_or_accepted_and_leaves_nothing_behind() {
    let rpcs = rpcs();
    check(&rpcs);
    let shop = Shop::with_storefront().await;
    let tables = Tables::of(&shop).await;
    let (mut problems, mut asked) = (Vec::new(), 0);
    // `ONLY=CreateShipment` for one that is being worked on.
    let only = std::env::var("ONLY").unwrap_or_default();
    let attacked: Vec<_> = rpcs.iter().filter(|rpc| rpc.path.contains(&only)).collect();
    for rpc in &attacked {
        asked += attack(&shop, &tables, rpc, &mut problems).await;
    }
    for process in shop.platform.services() {
        let log = process.log();
        let errors = log.lines().filter(|line| line.contains(r#""level":"ERROR""#));
        problems.extend(errors.map(|line| format!("{} logged {line}", process.name())));
    }
    println!("{} of {} RPCs, {asked} requests", attacked.len(), rpcs.len());
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    shop.platform.shutdown().await;
}

/// Sends every variant of a good request; returns how many.
async fn attack(shop: &Shop, tables: &Tables, rpc: &Rpc, problems: &mut Vec<String>) -> usize {
    let good = rpc.request(&sample(shop, &rpc.path).await);
    let foreign = rpc.send(shop, with_foreign_fields(&good)).await;
    // What a sample asks for may not be there; that it was looked for is enough.
    if let Err(status) = foreign
        && status.code() != Code::NotFound
    {
        problems.push(format!("{} with a field of tomorrow: {status:?}", rpc.path));
    }
    for bytes in NO_MESSAGE {
        let answer = rpc.send(shop, bytes.into()).await;
        let refused = answer.as_ref().err().map(|status| (status.code(), reason(status)));
        if refused != Some((Code::InvalidArgument, "MESSAGE_MALFORMED".to_owned())) {
            problems.push(format!("{} with bytes that are no message: {answer:?}", rpc.path));
        }
    }
    let mut good = rpc.request(&sample(shop, &rpc.path).await);
    let mut before = tables.at_rest().await;
    let count = variants(&good).len();
    for n in 0..count {
        // Another good request may stand for the thing that this one is about.
        let Some(variant) = variants(&good).into_iter().nth(n) else { break };
        let answer = rpc.send(shop, variant.request.encode_to_vec().into()).await;
        let name = format!("{}: {} is {}", rpc.path, variant.field, variant.what);
        match answer {
            Ok(_) if variant.wrong => problems.push(format!("{name}, and that is accepted")),
            Ok(_) => {}
            Err(status) => {
                if let Some(problem) = judge(&variant, &status)
                    && !is_somebody_elses(rpc, &variant, &status)
                {
                    problems.push(format!("{name}: {problem}"));
                }
                let after = tables.at_rest().await;
                let left = growth(&before, &after);
                if !left.is_empty()
                    && !RECORDED.contains(&(rpc.path.as_str(), variant.field.as_str()))
                {
                    problems.push(format!("{name}: {:?} left {left:?}", status.code()));
                    before = after;
                }
                continue;
            }
        }
        if rpc.changes {
            good = rpc.request(&sample(shop, &rpc.path).await);
            before = tables.at_rest().await;
        }
    }
    count
}

/// True if the one user who may call it is not whom the request is about: the rule says so, before
/// anybody looks at fields.
fn is_somebody_elses(rpc: &Rpc, variant: &Variant, status: &Status) -> bool {
    rpc.owners_alone() == Some(variant.field.as_str())
        && (status.code(), reason(status).as_str()) == (Code::PermissionDenied, "ACCESS_DENIED")
}

/// Parts of an amount.
const AMOUNT: [&str; 3] = [".currency_code", ".units", ".nanos"];

/// What is wrong with a refusal.
fn judge(variant: &Variant, status: &Status) -> Option<String> {
    let ours = [Code::Internal, Code::Unknown, Code::Unavailable, Code::DeadlineExceeded];
    if ours.contains(&status.code()) || status.code() == Code::DataLoss {
        return Some(format!("answered with a fault of ours: {status:?}"));
    }
    let details = status.get_error_details();
    if details.error_info().is_none_or(|info| info.reason.is_empty()) {
        return Some(format!("no reason in {status:?}"));
    }
    let violations = details.bad_request().map_or(&[][..], |bad| &bad.field_violations);
    let malformed = status.code() == Code::InvalidArgument;
    for violation in violations {
        if violation.reason.is_empty() {
            return Some(format!("{} has no reason of its own", violation.field));
        }
        // One rule for people, too: what the value must be.
        if malformed && !violation.description.starts_with("must ") {
            let said = &violation.description;
            return Some(format!("{}: {said:?} does not say what it must be", violation.field));
        }
    }
    let names_it = violations.iter().any(|violation| violation.field == variant.field);
    if variant.what.starts_with(bounds::AT) {
        let allowed = || format!("the contract allows it: {}", status.message());
        return (malformed && names_it && !variant.depends()).then(allowed);
    }
    let fields: Vec<&str> = violations.iter().map(|v| v.field.as_str()).collect();
    if !fields.iter().any(|named| is_about(named, &variant.field)) {
        return Some(format!("{:?} names {fields:?}: {}", status.code(), status.message()));
    }
    None
}

/// True if a named field is the one that was changed, a part of it, what it is a part of, or the other
/// part of an amount: units and nanos can each be wrong for the other's sake.
fn is_about(named: &str, changed: &str) -> bool {
    let whole = |field: &str| field.rsplit_once('.').map(|(whole, _)| whole.to_owned());
    let is_part = |field: &str| AMOUNT.iter().any(|part| field.ends_with(part));
    if is_part(named) && is_part(changed) && whole(named) == whole(changed) {
        return true;
    }
    let within = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    within(named, changed) || within(changed, named)
}
