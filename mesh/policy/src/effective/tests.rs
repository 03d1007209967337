//! What an overlay may and may not change.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::*;
use crate::testing::compile;

const READ: &str = "t.v1.Shelf/Read";
const WRITE: &str = "t.v1.Shelf/Write";
const POKE: &str = "t.v1.Shelf/Poke";
const WATCH: &str = "t.v1.Shelf/Watch";

fn contracts() -> Arc<Table> {
    let set = compile(
        "service Shelf {
           option (mesh.v1.service) = {owner: \"testers\", concurrency: 64};
           option (mesh.v1.default_access) = {public: true};
           rpc Read(Bare) returns (Answer) {
             option idempotency_level = NO_SIDE_EFFECTS;
             option (mesh.v1.method) = {default_deadline: {seconds: 2}, max_deadline: {seconds: 30},
               hedging: true, criticality: CRITICALITY_SHEDDABLE};
           }
           rpc Write(Keyed) returns (Answer) {
             option idempotency_level = IDEMPOTENT;
             option (mesh.v1.method) = {default_deadline: {seconds: 5}, max_deadline: {seconds: 30},
               request_id: REQUEST_ID_RULE_REQUIRED};
           }
           rpc Poke(Bare) returns (Answer) {
             option (mesh.v1.method) = {default_deadline: {seconds: 5}, max_deadline: {seconds: 30}};
           }
           rpc Watch(Bare) returns (stream Answer) {
             option idempotency_level = NO_SIDE_EFFECTS;
             option (mesh.v1.method) = {default_deadline: {seconds: 300}, max_deadline: {seconds: 3600}};
           }
         }
         service Free {
           option (mesh.v1.service) = {owner: \"testers\"};
           option (mesh.v1.default_access) = {public: true};
           rpc Follow(Bare) returns (stream Answer) {
             option (mesh.v1.method) = {default_deadline: {seconds: 60}, max_deadline: {seconds: 60}};
           }
           rpc Send(stream Bare) returns (Answer) {
             option (mesh.v1.method) = {default_deadline: {seconds: 60}, max_deadline: {seconds: 60}};
           }
         }",
    );
    Arc::new(Table::from_descriptors(&[&set]).unwrap())
}

fn effective(text: &str) -> Result<Effective, Refused> {
    Effective::new(contracts(), &Overlay::parse(text)?)
}

fn accepted(text: &str) -> Effective {
    effective(text).unwrap_or_else(|refused| panic!("{refused}"))
}

fn refused(text: &str) -> String {
    effective(text).unwrap_err().to_string()
}

fn row(effective: &Effective, path: &str, key: &str) -> Row {
    let rows = effective.method_rows(path).unwrap();
    rows.into_iter().find(|row| row.key == key).unwrap_or_else(|| panic!("{path} has no {key}"))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn without_a_file_contracts_and_defaults_hold() {
    let effective = Effective::of_contracts(contracts());

    let read = effective.method(READ).unwrap();
    assert_eq!(
        (read.deadline, read.max_deadline, read.retry.attempts),
        (seconds(2), seconds(30), 3)
    );
    assert_eq!(read.hedge, Some(Default::default()));
    let poke = effective.method(POKE).unwrap();
    assert_eq!((poke.retry.attempts, poke.hedge), (1, None), "nothing says that it is safe");
    assert_eq!(*effective.target("anything"), Target::default());
    assert_eq!(*effective.server(), Server::default());
    assert_eq!(effective.concurrency("t.v1.Shelf"), Some(64));
    assert_eq!(effective.concurrency("t.v1.Free"), None);
    assert_eq!(effective.method("t.v1.Shelf/Nothing"), None);
}

#[test]
fn the_more_special_table_wins_value_by_value() {
    let effective = accepted(
        "[methods.'*']
         retry = { attempts = 2, first_backoff = '10ms' }
         [methods.'t.v1.Shelf/*']
         deadline = '1s'
         retry.first_backoff = '20ms'
         [methods.'t.v1.Shelf/Read']
         deadline = '300ms'",
    );

    let read = effective.method(READ).unwrap();
    let write = effective.method(WRITE).unwrap();
    assert_eq!((read.deadline, write.deadline), (Duration::from_millis(300), seconds(1)));
    assert_eq!((read.retry.attempts, read.retry.first_backoff.as_millis()), (2, 20));
    let source = |key| row(&effective, READ, key).source;
    assert_eq!(source("deadline"), Source::File("methods.\"t.v1.Shelf/Read\"".into()));
    assert_eq!(source("retry.attempts"), Source::File("methods.\"*\"".into()));
    assert_eq!(source("retry.multiplier"), Source::Default);
    assert_eq!(source("max_deadline"), Source::Contract);
    assert_eq!(source("criticality"), Source::Contract);
}

#[test]
fn a_pattern_leaves_alone_what_it_cannot_apply_to() {
    let effective = accepted(
        "[methods.'*']
         deadline = '1s'
         hedge.min_delay = '20ms'
         retry.attempts = 5",
    );

    assert_eq!(effective.method(WATCH).unwrap().deadline, seconds(300), "a stream has minutes");
    assert_eq!(effective.method(WRITE).unwrap().hedge, None);
    assert_eq!(effective.method(POKE).unwrap().retry.attempts, 1);
    assert_eq!(row(&effective, POKE, "retry.attempts").source, Source::Contract);
    assert_eq!(effective.method(READ).unwrap().hedge.unwrap().min_delay.as_millis(), 20);
}

#[test]
fn a_stream_that_is_named_may_have_another_deadline() {
    let effective = accepted("[methods.'t.v1.Shelf/Watch']\ndeadline = '10m'");

    assert_eq!(effective.method(WATCH).unwrap().deadline, seconds(600));
}

#[test]
fn deadlines_lie_within_the_contracts_maximum() {
    assert_eq!(
        refused("[methods.'t.v1.Shelf/Read']\ndeadline = '31s'"),
        "methods.\"t.v1.Shelf/Read\".deadline: \
         31s is out of bounds: 1ms to 30s, the contract's maximum"
    );
    assert!(refused("[methods.'*']\nmax_deadline = '31s'").contains("the contract's maximum"));
    assert!(effective("[methods.'*']\ndeadline = '30s'").is_ok());
}

#[test]
fn a_lower_maximum_lowers_the_default_with_it() {
    let effective = accepted("[methods.'t.v1.Shelf/Read']\nmax_deadline = '1s'");

    assert_eq!(effective.method(READ).unwrap().deadline, seconds(1));
    assert_eq!(row(&effective, READ, "deadline").source.as_str(), "file");
    let why = refused("[methods.'t.v1.Shelf/Read']\nmax_deadline = '1s'\ndeadline = '2s'");
    assert!(why.contains("deadline: is above the max_deadline of t.v1.Shelf/Read, 1s"), "{why}");
}

#[test]
fn attempts_are_one_to_five() {
    for bad in ["0", "6", "-1", "2.5", "'two'"] {
        let why = refused(&format!("[methods.'t.v1.Shelf/Write']\nretry.attempts = {bad}"));

        assert!(why.starts_with("methods.\"t.v1.Shelf/Write\".retry.attempts: "), "{why}");
    }
    assert!(refused("[methods.'*']\nretry.attempts = 6").contains("6 is out of bounds: 1 to 5"));
    for good in 1..=5 {
        let text = format!("[methods.'*']\nretry.attempts = {good}");
        assert_eq!(accepted(&text).method(WRITE).unwrap().retry.attempts, good);
    }
}

#[test]
fn retries_need_a_contract_that_says_they_are_safe() {
    let why = refused("[methods.'t.v1.Shelf/Poke']\nretry.attempts = 2");

    assert!(why.contains("names no code after which it is safe to repeat"), "{why}");
}

#[test]
fn hedging_needs_a_contract_that_allows_it() {
    let why = refused("[methods.'t.v1.Shelf/Write']\nhedge.attempts = 2");
    assert!(why.contains("hedge: the contract does not allow hedging"), "{why}");

    let off = accepted("[methods.'t.v1.Shelf/Read']\nhedge.attempts = 1");
    assert_eq!(off.method(READ).unwrap().hedge, None);
    assert_eq!(row(&off, READ, "hedge.attempts").value, json!(1));
}

#[test]
fn a_pattern_that_could_apply_to_nothing_is_refused() {
    for value in ["hedge.attempts = 2", "retry.attempts = 2", "deadline = '1s'"] {
        let why = refused(&format!("[methods.'t.v1.Free/*']\n{value}"));

        assert!(why.contains("no contract of t.v1.Free/* allows it"), "{why}");
    }
}

#[test]
fn concurrency_goes_up_to_the_contracts_bound() {
    let low = accepted("[services.'t.v1.Shelf']\nconcurrency = 8");
    assert_eq!(low.concurrency("t.v1.Shelf"), Some(8));
    assert_eq!(low.service_rows("t.v1.Shelf").unwrap()[1].source.as_str(), "file");

    assert_eq!(
        refused("[services.'t.v1.Shelf']\nconcurrency = 65"),
        "services.\"t.v1.Shelf\".concurrency: 65 is out of bounds: 1 to 64, the contract's bound"
    );
    assert!(refused("[services.'t.v1.Shelf']\nconcurrency = 0").contains("1 to 64"));
    let free = accepted("[services.'t.v1.Free']\nconcurrency = 1000");
    assert_eq!(free.concurrency("t.v1.Free"), Some(1000));
}

#[test]
fn targets_are_turned_together_or_one_by_one() {
    let effective = accepted(
        "[targets.'*']
         budget.ratio = 0.1
         [targets.payments]
         bulkhead = { calls = 8, queue = 4 }",
    );

    assert_eq!(effective.target("catalog").budget.ratio, 0.1);
    let payments = effective.target("payments");
    assert_eq!((payments.budget.ratio, payments.bulkhead.calls), (0.1, 8));
    assert_eq!(effective.target("catalog").bulkhead, Default::default());
}

#[test]
fn rates_are_set_as_a_whole_and_switched_off_by_zero() {
    let on = accepted("[server]\npeer_rate = { per_second = 50, burst = 100 }");
    assert_eq!(on.server().peer_rate.map(|rate| (rate.per_second, rate.burst)), Some((50.0, 100)));
    assert_eq!(on.server().total_rate, None);
    assert_eq!(accepted("[server]\npeer_rate.per_second = 0").server().peer_rate, None);

    let why = refused("[server]\npeer_rate.burst = 100");
    assert!(why.contains("burst is given, but not how many per second"), "{why}");
}

#[test]
fn unknown_names_are_refused_with_what_may_be_meant() {
    for (text, expected) in [
        ("[method.'*']", "method: there is no such table: did you mean methods?"),
        ("[methods.'*']\nretry.atempts = 2", "did you mean retry.attempts"),
        ("[methods.'t.v1.Shelf/Raed']", "did you mean t.v1.Shelf/Read?"),
        ("[methods.'t.v1.Shef/*']", "there is no such RPC"),
        ("[services.'t.v1.Shell']\nconcurrency = 1", "did you mean t.v1.Shelf?"),
        ("[targets.payments]\nbudget.token = 5", "did you mean budget.tokens?"),
        ("[targets.payments]\nbudget = 5", "targets.payments.budget: there is no such value"),
        ("[server]\nzzz = 1", "server.zzz: there is no such value"),
        ("server = 1", "server: must be a table"),
        ("[methods]\nx = 1", "there is no such RPC"),
    ] {
        let why = refused(text);
        assert!(why.contains(expected), "{text}: {why}");
    }
}

#[test]
fn what_is_no_toml_is_refused_with_its_line() {
    let why = refused("[server]\nmax_age = ");

    assert!(why.starts_with("line 2: "), "{why}");
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let why = refused("[targets.'*']\nbreaker = { open = '5s', max_open = '1s' }");
    assert_eq!(why, "targets.\"*\".breaker.open: 5s is above max_open, 1s");

    assert!(effective("[methods.'*']\nretry.first_backoff = '2s'").is_err());
}

#[test]
fn every_reason_is_told_at_once_and_each_once() {
    let refused = effective(
        "[methods.'*']
         retry.attempts = 9
         [server]
         connections = 0
         [targets.a]
         balance.decay = 'soon'",
    )
    .unwrap_err();

    assert_eq!(refused.reasons().count(), 3, "{refused}");
}

#[test]
fn the_whole_can_be_read_as_json() {
    let effective = accepted(
        "[methods.'t.v1.Shelf/Read']
         deadline = '1500ms'
         [targets.payments]
         bulkhead.calls = 8",
    );

    let json = effective.to_json();

    let deadline = &json["methods"][READ]["deadline"];
    let table = "methods.\"t.v1.Shelf/Read\"";
    assert_eq!(*deadline, json!({"value": "1500ms", "source": "file", "table": table}));
    let facts = &json["methods"][READ];
    assert_eq!(facts["criticality"], json!({"value": "sheddable", "source": "contract"}));
    assert_eq!(facts["retry_codes"]["value"], "UNAVAILABLE");
    assert_eq!(json["methods"][WATCH]["max_deadline"]["value"], "1h");
    assert_eq!(json["services"]["t.v1.Shelf"]["owner"]["value"], "testers");
    assert_eq!(json["targets"]["payments"]["bulkhead.calls"]["value"], 8);
    assert_eq!(json["targets"]["*"]["bulkhead.calls"], json!({"value": 256, "source": "default"}));
    assert_eq!(json["server"]["peer_rate.per_second"]["value"], 0.0);
}
