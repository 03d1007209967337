//! The walk of a candidate, by the script that the workflow runs: into a repository that stands for the
//! real one, judged by something that answers as Prometheus does.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::extract::{Query, State};
use axum::{Json, Router, routing::get};
use mesh_testkit::program;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;

use super::{Copied, NEW};

/// What the walk may take from the checkout.
const TREE: [&str; 6] =
    ["k8s", "istio", ".github", "Cargo.lock", "Cargo.toml", "services/orders/mesh.toml"];

/// What is found of a candidate that comes up, and stays so.
const UP: [&str; 2] = ["count(up{pod=~", "avg_over_time(up{pod=~"];

const FIRST: &str = "Start the candidate of orders";

/// Which queries find something, and all that was asked.
#[derive(Default)]
struct Metrics {
    finds: Mutex<Vec<&'static str>>,
    asked: Mutex<Vec<String>>,
}

async fn answer(
    State(metrics): State<Arc<Metrics>>,
    Query(query): Query<std::collections::HashMap<String, String>>,
) -> Json<Value> {
    let query = query["query"].clone();
    let finds = metrics.finds.lock().unwrap().iter().any(|part| query.contains(part));
    metrics.asked.lock().unwrap().push(query);
    let found = if finds { json!([{ "metric": {}, "value": [0, "1"] }]) } else { json!([]) };
    Json(json!({ "status": "success", "data": { "resultType": "vector", "result": found } }))
}

struct Scene {
    copied: Copied,
    metrics: Arc<Metrics>,
    prometheus: SocketAddr,
}

impl Scene {
    /// A checkout with where it is pushed to beside it.
    async fn begin(finds: &[&'static str]) -> Self {
        let copied = Copied::of(&TREE);
        let metrics = Arc::new(Metrics::default());
        metrics.finds.lock().unwrap().extend(finds);
        let router =
            Router::new().route("/api/v1/query", get(answer)).with_state(Arc::clone(&metrics));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let prometheus = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let scene = Self { copied, metrics, prometheus };
        scene.git(&["init", "--quiet", "--initial-branch", "main"]).await;
        scene.git(&["init", "--quiet", "--bare", "--initial-branch", "main", "origin.git"]).await;
        scene.git(&["config", "user.email", "walk@example.com"]).await;
        scene.git(&["config", "user.name", "walk"]).await;
        scene.git(&["remote", "add", "origin", "./origin.git"]).await;
        scene.git(&["add", "k8s", "istio", ".github"]).await;
        scene.git(&["commit", "--quiet", "--message", "before"]).await;
        scene.git(&["push", "--quiet", "origin", "main"]).await;
        scene
    }

    async fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git").arg("-C").arg(&self.copied.0).args(arguments).output();
        let output = output.await.unwrap();
        assert!(
            output.status.success(),
            "{arguments:?} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    async fn walk(&self, service: &str) -> Output {
        let program = program("meshctl").await;
        let folder: &Path = &self.copied.0;
        let mut command = Command::new(folder.join(".github/walk.sh"));
        command.args([service, NEW]).current_dir(folder).env("PAUSE", "1");
        command.env("PATIENCE", "2").env("GLANCE", "1");
        command.env("MESH", program).env("PROMETHEUS", format!("http://{}", self.prometheus));
        // Not this checkout's.
        command.env_remove("CARGO_MANIFEST_DIR").env_remove("GIT_DIR");
        command.output().await.unwrap()
    }

    /// What was pushed since, the oldest first.
    async fn pushed(&self) -> Vec<String> {
        let log = self.git(&["log", "--reverse", "--format=%s", "origin/main"]).await;
        log.lines().skip(1).map(str::to_owned).collect()
    }

    async fn at(&self, commit: &str) -> String {
        self.git(&["show", &format!("{commit}:k8s/overlays/production/delivered.toml")]).await
    }
}

#[tokio::test]
async fn a_candidate_that_is_as_good_walks_to_all_calls_by_commits_and_then_runs() {
    let scene = Scene::begin(&[&UP[..], &[" >= 1"]].concat()).await;

    let output = scene.walk("orders").await;

    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let sends = |weight| format!("Send {weight} of 100 calls to the candidate of orders");
    let mut expected = vec![FIRST.to_owned()];
    expected.extend([1, 5, 25, 50, 100].map(sends));
    expected.push("Run the candidate of orders everywhere".to_owned());
    expected.push("Send all calls to orders as before".to_owned());
    expected.push("Try nothing of orders any more".to_owned());
    assert_eq!(scene.pushed().await, expected);
    for (commit, weight) in [("origin/main~8", 0), ("origin/main~6", 5), ("origin/main~1", 0)] {
        let said = format!("image = \"{NEW}\", weight = {weight} ");
        assert!(scene.at(commit).await.contains(&said), "{commit}");
    }
    assert!(
        scene.at("origin/main").await.ends_with(&format!("\n[images.orders]\nimage = \"{NEW}\"\n"))
    );
    assert_eq!(
        scene.git(&["status", "--porcelain", "k8s", "istio"]).await,
        "",
        "nothing is forgotten"
    );
    let asked = scene.metrics.asked.lock().unwrap();
    let of_candidate = "rpc_server_call_duration_seconds_count{pod=~\"orders-candidate-.+\"}[1s]";
    assert!(asked.iter().any(|query| query.contains(of_candidate)), "{asked:?}");
}

#[tokio::test]
async fn a_candidate_that_is_worse_is_withdrawn_by_a_commit_that_says_why() {
    for (worse, why) in [
        ("UNAVAILABLE", "more of its calls fail"),
        ("histogram_quantile", "its slowest calls take longer"),
    ] {
        let scene = Scene::begin(&[&UP[..], &[" >= 1", worse]].concat()).await;

        let output = scene.walk("orders").await;

        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(&format!("is withdrawn at 1 of 100 calls: {why}")), "{said}");
        let expected = [
            FIRST.to_owned(),
            "Send 1 of 100 calls to the candidate of orders".to_owned(),
            // Its calls go before it does.
            format!("Send no call to the candidate of orders any more: {why}"),
            format!("Withdraw the candidate of orders: {why}"),
        ];
        assert_eq!(scene.pushed().await, expected);
        assert!(scene.at("origin/main~1").await.contains("weight = 0 "));
        assert!(!scene.at("origin/main").await.contains("candidate ="));
    }
}

/// Whoever does not come up, or does not stay so, has counted no call that failed, and gets none.
#[tokio::test]
async fn a_candidate_that_is_not_up_is_sent_no_call() {
    for (finds, why) in [
        (&[" >= 1"][..], "it does not come up"),
        (&[" >= 1", "count(up{pod=~"], "its processes do not stay up"),
    ] {
        let scene = Scene::begin(finds).await;

        let output = scene.walk("orders").await;

        assert_eq!(output.status.code(), Some(1));
        let last = format!("Withdraw the candidate of orders: {why}");
        assert_eq!(scene.pushed().await, [FIRST.to_owned(), last]);
    }
}

#[tokio::test]
async fn a_candidate_that_cannot_be_judged_is_withdrawn() {
    let mut scene = Scene::begin(&[]).await;
    // Nobody listens there.
    scene.prometheus = "127.0.0.1:9".parse().unwrap();

    let output = scene.walk("orders").await;

    assert_eq!(output.status.code(), Some(1));
    let pushed = scene.pushed().await;
    let last = "Withdraw the candidate of orders: its metrics cannot be asked for";
    assert_eq!((pushed.len(), pushed.last().map(String::as_str)), (2, Some(last)));
}

#[tokio::test]
async fn a_candidate_that_nobody_asks_goes_no_further_than_a_quarter() {
    let scene = Scene::begin(&UP).await;

    let output = scene.walk("gateway").await;

    assert_eq!(output.status.code(), Some(1));
    let pushed = scene.pushed().await;
    let last = "Withdraw the candidate of gateway: nobody has seen it answer a call";
    assert_eq!((pushed.len(), pushed.last().map(String::as_str)), (6, Some(last)));
    let asked = scene.metrics.asked.lock().unwrap();
    let of_calls = |query: &&String| !query.contains("(up{");
    let mut of_calls = asked.iter().filter(of_calls);
    assert!(of_calls.all(|query| query.contains("http_server_request_duration_seconds")));
}
