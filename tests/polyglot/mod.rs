//! Clients in other languages. They hold to the contracts by gRPC's own means: Go's and Python's libraries
//! load the service configs that `cargo mesh gen` makes, and know nothing else of this platform. And they
//! order through the gateway as docs/CLIENTS.md says, with stubs that their own generators make.

mod callee;
mod client;
mod customer;
mod languages;
mod orders;
mod page;
mod replaced;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use mesh_policy::{Effective, Method, Overlay, RetryCodes, Table};
use mesh_testkit::workspace;
use meshctl::generate::clients::{Library, ServiceConfig};

use callee::{Callee, Case, Seen};
use client::{Client, Ended};

use crate::shop::SERVICES;

/// Of a call that is refused twice.
const ATTEMPTS: usize = 3;
const OK: i32 = 0;
const DEADLINE_EXCEEDED: i32 = 4;
const UNAVAILABLE: i32 = 14;

/// Calls for one process of a client: what fails of them leaves its budget for repetitions above half.
const TOGETHER: usize = 16;
/// Enough that a budget of a hundred tokens is spent several times over.
const STORM: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn go_calls_every_rpc_as_its_contract_says() {
    let Some(client) = Client::go() else { return };
    calls_every_rpc_as_its_contract_says(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_calls_every_rpc_as_its_contract_says() {
    let Some(client) = Client::python() else { return };
    calls_every_rpc_as_its_contract_says(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn go_and_this_platforms_server_understand_each_other() {
    let Some(client) = Client::go() else { return };
    understands_this_platforms_server(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_and_this_platforms_server_understand_each_other() {
    let Some(client) = Client::python() else { return };
    understands_this_platforms_server(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn go_hardly_repeats_what_keeps_failing() {
    let Some(client) = Client::go() else { return };
    hardly_repeats_what_keeps_failing(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_hardly_repeats_what_keeps_failing() {
    let Some(client) = Client::python() else { return };
    hardly_repeats_what_keeps_failing(&client).await;
}

/// With the files as they lie in the tree: an RPC that is refused twice is repeated if its contract
/// says that it may be, and each has the contract's default deadline though none is given, unless the
/// library would not keep to it.
async fn calls_every_rpc_as_its_contract_says(client: &Client) {
    let contracts = contracts();
    let mut rpcs = 0;
    for service in SERVICES.iter().chain(&["storefront"]) {
        let file = workspace().join(client.library.file(service));
        let methods = methods(&contracts, &format!("shop.{service}.v"));
        for methods in methods.chunks(TOGETHER) {
            let callee = Callee::of_any_contract().await;
            let calls = methods.iter().enumerate().map(|(n, it)| Case::refused_twice(n).of(it));
            for (Ended { case, code }, method) in
                client.call(&file, callee.address, calls).await.into_iter().zip(methods)
            {
                holds_to_its_contract(client, &callee.seen(&case), code, method);
                rpcs += 1;
            }
        }
    }
    assert!(rpcs > 50, "{rpcs} RPCs");
}

fn holds_to_its_contract(client: &Client, seen: &[Seen], code: i32, method: &Method) {
    let path = &method.path;
    assert!(seen.iter().all(|attempt| attempt.path == format!("/{path}")), "{path}: {seen:?}");
    let expected = match method.retry_codes.contains(RetryCodes::UNAVAILABLE) {
        true => (OK, ATTEMPTS),
        false => (UNAVAILABLE, 1),
    };
    assert_eq!((code, seen.len()), expected, "{path}: {seen:?}");
    for (n, attempt) in seen.iter().enumerate() {
        assert_eq!(attempt.earlier, n, "{path}: an attempt says how many came before it");
        let is_timed = client.library == Library::Any;
        assert_eq!(attempt.timeout.is_some(), is_timed, "{path}: {attempt:?}");
        if let Some(timeout) = attempt.timeout {
            assert!(timeout <= method.default_deadline, "{path}: {timeout:?}");
            // Less than a fifth of it is of another RPC, or in another unit.
            assert!(timeout > method.default_deadline / 5, "{path}: {timeout:?}");
        }
    }
}

/// The server that every service of the shop is behind, with its health and its layers.
async fn understands_this_platforms_server(client: &Client) {
    let table = Arc::new(Table::from_descriptors(&[mesh_echo::DESCRIPTORS]).unwrap());
    // One of the two waits for two seconds and the other for a minute: long after a client is given up.
    let short = "[methods.'echo.v1.EchoService/Chat']\ndeadline = '2s'";
    let impatient = Effective::new(Arc::clone(&table), &Overlay::parse(short).unwrap()).unwrap();
    let patient = Effective::of_contracts(table);
    let (contracts, callees) = match client.library {
        Library::Any => (impatient, patient),
        Library::Core => (patient, impatient),
    };
    let file = written(&contracts, client);
    let callee = Callee::of_the_lab(callees).await;
    let method = |name: &str| {
        let path = format!("echo.v1.EchoService/{name}");
        contracts.contracts().method(&path).unwrap().clone()
    };
    let calls = [
        Case::refused_twice(0).of(&method("Read")),
        Case::refused_twice(1).of(&method("List")),
        Case::refused_twice(2).of(&method("Add")),
        Case::refused_twice(3).of(&method("Collect")),
        Case::never_answered(4).of(&method("Chat")),
    ];

    let ends = client.call(&file, callee.address, calls.into_iter()).await;

    let seen = |n: usize| (ends[n].code, callee.seen(&ends[n].case).len());
    assert_eq!(seen(0), (OK, ATTEMPTS), "one that changes nothing is repeated");
    assert_eq!(seen(1), (OK, ATTEMPTS), "so is a stream that was refused before it began");
    assert_eq!(seen(2), (UNAVAILABLE, 1), "one that is done twice if it is sent twice is not");
    assert_eq!(seen(3), (UNAVAILABLE, 1), "nor is a stream of requests");
    assert_eq!(seen(4), (DEADLINE_EXCEEDED, 1), "nobody waits longer than the contract says");
}

/// gRFC A6: at half of a hundred tokens nothing is repeated any more.
async fn hardly_repeats_what_keeps_failing(client: &Client) {
    let contracts = contracts();
    let get = contracts.contracts().method("shop.catalog.v1.CatalogService/GetProduct").unwrap();
    let callee = Callee::of_any_contract().await;
    let file = workspace().join(client.library.file("catalog"));

    let calls = (0..STORM).map(|n| Case::refused(n).of(get));
    let ends = client.call(&file, callee.address, calls).await;

    let mut codes: Vec<_> = ends.iter().map(|end| end.code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes, [UNAVAILABLE]);
    let attempts: usize = ends.iter().map(|end| callee.seen(&end.case).len()).sum();
    let repeated = attempts - STORM;
    assert!(repeated > 0, "the first ones are repeated");
    assert!(
        repeated < STORM / 3,
        "{repeated} repetitions of {STORM} calls, two each without a budget"
    );
}

fn contracts() -> Effective {
    let table = Table::from_descriptors(&[shop::DESCRIPTORS, mesh_proto::DESCRIPTORS]).unwrap();
    Effective::of_contracts(Arc::new(table))
}

fn methods(contracts: &Effective, package: &str) -> Vec<Method> {
    let methods = contracts.contracts().methods();
    let methods: Vec<_> = methods.filter(|it| it.path.starts_with(package)).cloned().collect();
    assert!(!methods.is_empty(), "{package}");
    methods
}

/// The lab's config, in a file that no other client reads.
fn written(contracts: &Effective, client: &Client) -> PathBuf {
    let config = ServiceConfig::of(contracts, "echo", &["echo.v1"], client.library).unwrap();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("service-config-{}.json", client.name));
    fs::write(&file, serde_json::to_string(&config).unwrap()).unwrap();
    file
}
