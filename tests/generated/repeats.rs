//! Every RPC that changes something: sent twice, twice at once, with other content, and again after a
//! crash between its commit and its answer.

use prost::Message as _;
use tonic::Code;

use super::{
    call::{Rpc, rpcs},
    rows::{Rows, Tables, growth},
    samples::{Change, change, check, sample},
};
use crate::{
    evidence::reason,
    shop::{Shop, persist},
};

/// By contract these answer with the saga as it is now, whoever asked for what before.
const SHOWS_NOW: [&str; 3] = [
    "mesh.operator.v1.SagasService/CompensateSaga",
    "mesh.operator.v1.SagasService/ResolveSaga",
    "mesh.operator.v1.SagasService/RetrySaga",
];

/// By contract these have no key: the same positions, letters and tokens are known by themselves.
const BY_CONTENT: [&str; 4] = [
    "mesh.operator.v1.DeadLettersService/RedriveDeadLetters",
    "shop.shipping.v1.ShippingService/RecordPositions",
    "shop.storefront.v1.StorefrontService/PurgeCache",
    "shop.users.v1.SessionsService/RefreshSession",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_change_happens_once_however_often_it_is_asked_for() {
    let all = rpcs().into_iter().filter(|rpc| rpc.changes);
    let (changing, exempt): (Vec<_>, Vec<_>) = all.partition(|rpc| rpc.has_request_id);
    let exempt: Vec<_> = exempt.iter().map(|rpc| rpc.path.as_str()).collect();
    assert_eq!(exempt, BY_CONTENT, "every other change is asked for by a key");
    check(&changing);
    let shop = Shop::with_storefront().await;
    let tables = Tables::of(&shop).await;
    let mut problems = Vec::new();
    for rpc in &changing {
        let one = in_sequence(&shop, &tables, rpc, &mut problems).await;
        at_once(&shop, &tables, rpc, &one, &mut problems).await;
        after_a_crash(&shop, &tables, rpc, &one, &mut problems).await;
    }
    println!("{} RPCs that change something, each repeated in four ways", changing.len());
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    shop.platform.shutdown().await;
}

/// Twice in sequence, then with other content. Returns how many rows one request adds.
async fn in_sequence(shop: &Shop, tables: &Tables, rpc: &Rpc, problems: &mut Vec<String>) -> Rows {
    let json = sample(shop, &rpc.path).await;
    let request = rpc.request(&json).encode_to_vec();
    let before = tables.at_rest().await;
    let first = rpc.send(shop, request.clone().into()).await;
    let after = tables.at_rest().await;
    let second = rpc.send(shop, request.into()).await;
    match (&first, &second) {
        (Ok(first), Ok(second)) if first == second || SHOWS_NOW.contains(&rpc.path.as_str()) => {}
        _ => problems.push(format!("{}: {first:?}, then {second:?}", rpc.path)),
    }
    let mut other = json;
    let Change { other: (place, value), .. } = change(&rpc.path);
    *other.pointer_mut(place).unwrap_or_else(|| panic!("{}: no {place}", rpc.path)) = value;
    let other = rpc.send(shop, rpc.request(&other).encode_to_vec().into()).await;
    match other {
        Err(status)
            if status.code() == Code::FailedPrecondition
                && reason(&status) == "REQUEST_CONTENT_DIFFERS" => {}
        answer => problems.push(format!("{} with other content: {answer:?}", rpc.path)),
    }
    if tables.at_rest().await != after {
        problems.push(format!("{}: a repeated request left rows behind", rpc.path));
    }
    growth(&before, &after)
}

async fn at_once(shop: &Shop, tables: &Tables, rpc: &Rpc, one: &Rows, problems: &mut Vec<String>) {
    let request = rpc.request(&sample(shop, &rpc.path).await).encode_to_vec();
    let before = tables.at_rest().await;
    let (left, right) =
        tokio::join!(rpc.send(shop, request.clone().into()), rpc.send(shop, request.into()));
    match (&left, &right) {
        (Ok(left), Ok(right)) if left == right || SHOWS_NOW.contains(&rpc.path.as_str()) => {}
        _ => problems.push(format!("{} twice at once: {left:?} and {right:?}", rpc.path)),
    }
    let grown = growth(&before, &tables.at_rest().await);
    if grown != *one {
        problems.push(format!("{} twice at once: {grown:?}, alone: {one:?}", rpc.path));
    }
}

/// The process dies after the commit, before anybody is told.
async fn after_a_crash(
    shop: &Shop,
    tables: &Tables,
    rpc: &Rpc,
    one: &Rows,
    problems: &mut Vec<String>,
) {
    let Change { label, .. } = change(&rpc.path);
    let request = rpc.request(&sample(shop, &rpc.path).await).encode_to_vec();
    let before = tables.at_rest().await;
    let process = shop.platform.service(&rpc.process);
    let starts = process.arm(&format!("{label}:after_commit")).await;
    let told = rpc.send(shop, request.clone().into()).await;
    if let Ok(answer) = told {
        problems.push(format!("{} did not die at {label}: {answer:?}", rpc.path));
    }
    process.restarted(starts).await;
    process.ready().await;
    let again = persist("to ask again", async || rpc.send(shop, request.clone().into()).await);
    if let Err(status) = again.await {
        problems.push(format!("{} after a crash: {status:?}", rpc.path));
    }
    let grown = growth(&before, &tables.at_rest().await);
    if grown != *one {
        problems.push(format!("{} after a crash: {grown:?}, alone: {one:?}", rpc.path));
    }
}
