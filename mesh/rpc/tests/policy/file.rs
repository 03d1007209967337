//! What becomes of a file that changes.

use std::{fs, time::Duration};

use mesh_rpc::policy::LivePolicy;
use mesh_runtime::ConfigError;
use rustix::process::{Signal, getpid, kill_process};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{
    HANGUPS, LIST, OFTEN, PATIENCE, Turned, begin, contracts, path, reloads, table, until,
};

const TWO: &str = "[methods.'*']\nretry.attempts = 2\n";
const FOUR: &str = "[methods.'*']\nretry.attempts = 4\n";
const GREEDY: &str = "[methods.'*']\nretry.attempts = 50\n";
const BROKEN: &str = "[methods.'*'\nretry.attempts = 1\n";

#[tokio::test]
async fn a_file_that_changes_is_in_force_without_a_restart() {
    let mut turned = Turned::start("changes", TWO, OFTEN).await;
    assert_eq!(turned.attempts(), 2);
    let before = turned.policy.current();

    turned.write(FOUR);
    let after = turned.changed().await;

    assert_eq!(after.method(LIST).unwrap().retry.attempts, 4);
    assert_eq!(turned.attempts(), 4);
    assert_eq!(before.method(LIST).unwrap().retry.attempts, 2, "a call sees one policy");
    let shown = &table(&turned.service).await["methods"][LIST]["retry.attempts"];
    assert_eq!(*shown, json!({ "value": 4, "source": "file", "table": "methods.\"*\"" }));
}

#[tokio::test]
async fn a_file_that_asks_for_too_much_is_refused_and_the_last_good_values_stay() {
    let _turn = HANGUPS.lock().await;
    let mut turned = Turned::start("greedy", TWO, OFTEN).await;

    turned.write(GREEDY);
    let table = turned.file_is("refused").await;

    let why = "methods.\"*\".retry.attempts: 50 is out of bounds: 1 to 5";
    assert_eq!(table["file"]["last_refusal"]["why"], why);
    assert_eq!(table["methods"][LIST]["retry.attempts"]["value"], 2);
    assert_eq!(turned.attempts(), 2);
    assert_eq!(reloads("greedy", "refused"), 1);
    let metrics = mesh_runtime::metrics::render().unwrap();
    assert!(metrics.contains("mesh_policy_refused{service=\"greedy\"} 1"), "{metrics}");

    turned.write(FOUR);
    turned.changed().await;
    let table = turned.file_is("applied").await;
    assert_eq!((turned.attempts(), table["file"]["version"].clone()), (4, json!(2)));
    assert_eq!(table["file"]["last_refusal"]["why"], why, "what was wrong can still be read");
}

#[tokio::test]
async fn a_file_that_is_no_toml_or_gone_changes_nothing() {
    let mut turned = Turned::start("broken", TWO, OFTEN).await;

    turned.write(BROKEN);
    let table = turned.file_is("refused").await;
    let why = table["file"]["last_refusal"]["why"].as_str().unwrap().to_owned();
    assert!(why.starts_with("line 1: "), "{why}");
    assert_eq!(turned.attempts(), 2);

    turned.write(FOUR);
    turned.changed().await;
    fs::remove_file(&turned.file).unwrap();
    let table = turned.file_is("refused").await;
    let why = table["file"]["last_refusal"]["why"].as_str().unwrap().to_owned();
    assert!(why.starts_with("cannot be read: "), "{why}");
    assert_eq!(turned.attempts(), 4);

    turned.write(FOUR);
    turned.file_is("applied").await;
}

#[tokio::test]
async fn one_refusal_is_told_once_however_often_the_file_is_looked_at() {
    let _turn = HANGUPS.lock().await;
    let turned = Turned::start("told", TWO, OFTEN).await;
    turned.write(GREEDY);
    turned.file_is("refused").await;

    // Another text shows that the file was looked at in between.
    turned.write(BROKEN);
    until(|| reloads("told", "refused") >= 2).await;

    assert_eq!(reloads("told", "refused"), 2);
    assert_eq!(reloads("told", "applied"), 1);
}

#[tokio::test]
async fn a_hangup_reads_it_at_once() {
    let _turn = HANGUPS.lock().await;
    let mut turned = Turned::start("hangup", TWO, Duration::from_secs(24 * 3600)).await;
    // The first look comes at once, so this one may be it; the next is a day away.
    turned.write(FOUR);
    kill_process(getpid(), Signal::HUP).unwrap();
    turned.changed().await;

    turned.write(TWO);
    kill_process(getpid(), Signal::HUP).unwrap();
    while turned.attempts() != 2 {
        turned.changed().await;
    }

    turned.write(GREEDY);
    kill_process(getpid(), Signal::HUP).unwrap();
    turned.file_is("refused").await;

    // Who asks is answered, also if nothing has changed.
    kill_process(getpid(), Signal::HUP).unwrap();
    until(|| reloads("hangup", "refused") >= 2).await;
}

#[tokio::test]
async fn a_service_does_not_begin_with_a_file_that_is_refused() {
    let service = begin("begun").await;
    let file = path("begun");
    fs::write(&file, GREEDY).unwrap();

    for named in [file, path("missing")] {
        let error = LivePolicy::start(&service, contracts(), Some(&named)).unwrap_err();

        assert!(error.is::<ConfigError>());
        assert!(error.to_string().starts_with("MESH_POLICY "), "{error}");
    }
}

#[tokio::test]
async fn without_a_file_the_contracts_hold() {
    let service = begin("bare").await;

    let policy = LivePolicy::start(&service, contracts(), None).unwrap();

    assert_eq!(policy.method(LIST).unwrap().deadline, Duration::from_secs(5));
    assert_eq!(policy.method("nobody.Knows/This"), None);
    let table = table(&service).await;
    assert_eq!(table["file"], json!({ "state": "none" }));
    assert_eq!(table["methods"][LIST]["deadline"], json!({ "value": "5s", "source": "contract" }));
}

#[tokio::test]
async fn it_ends_with_its_service() {
    let turned = Turned::start("ends", TWO, OFTEN).await;

    turned.service.stop();

    timeout(PATIENCE, turned.service.finish()).await.expect("the file is not watched for ever");
}
