//! The workflow of `.github/`: whether it can be what it says, without asking anybody.

use std::collections::BTreeSet;
use std::fs;

use mesh_testkit::workspace;
use serde_json::{Map, Value, json};

use crate::manifests::world::{documents, items};

const FILE: &str = ".github/workflows/deliver.yml";
/// Where only what is on `main` of the repository itself gets.
const TRUSTED: &str = "github.event_name == 'push' && github.ref == 'refs/heads/main'";

fn read() -> Value {
    let text = fs::read_to_string(workspace().join(FILE)).unwrap();
    documents(&text).remove(0)
}

fn jobs(workflow: &Value) -> &Map<String, Value> {
    workflow["jobs"].as_object().unwrap()
}

#[test]
fn it_is_what_the_schema_of_workflows_says() {
    let schema =
        fs::read_to_string(workspace().join("tests/delivery/github-workflow.json")).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let faults = |workflow: &Value| {
        let errors = validator.iter_errors(workflow);
        errors.map(|error| format!("{}: {error}", error.instance_path())).collect::<Vec<_>>()
    };

    assert_eq!(faults(&read()), [""; 0]);
    for (place, wrong) in [
        ("/jobs/check/runs-on", json!(null)),
        ("/jobs/image/permissions/contents", json!("reed")),
        ("/jobs/image/strategy/matrix", json!(7)),
        ("/on", json!("pushed")),
    ] {
        let mut workflow = read();
        *workflow.pointer_mut(place).unwrap() = wrong;
        assert!(!faults(&workflow).is_empty(), "{place}");
    }
}

/// What is wrong with it, beside its form.
fn faults(workflow: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    if workflow["permissions"] != json!({}) {
        faults.push("whoever says nothing may do something".to_owned());
    }
    if workflow["on"].get("pull_request_target").is_some() {
        faults.push("a fork's change runs as ours".to_owned());
    }
    for (name, job) in jobs(workflow) {
        let mut look = |what: &str, is_so: bool| {
            if !is_so {
                faults.push(format!("{name}: {what}"));
            }
        };
        look("it says how long it may take", job["timeout-minutes"].is_u64());
        let text = job.to_string();
        let permissions = job["permissions"].as_object();
        look("it says what it may do", permissions.is_some());
        let writes = permissions.into_iter().flatten().any(|(_, may)| may == "write");
        let is_trusted = job["if"].as_str().is_some_and(|it| it.contains(TRUSTED));
        look("what writes, or knows secrets, is for main alone", is_trusted || !writes);
        let secret = text.contains("secrets.") || text.contains("github.token");
        look("what writes, or knows secrets, is for main alone", is_trusted || !secret);
        for needed in needs(job) {
            look(&format!("`{needed}` is a job"), jobs(workflow).contains_key(needed));
            look(&format!("`{needed}` comes before"), !reaches(workflow, needed, name));
        }
        // What another job says is there only for whoever waits for it.
        for output in text.split("needs.").skip(1) {
            let mut words = output.split(['.', ' ', ')', '}', '"']);
            let (of, key) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
            look(&format!("it needs `{of}`, whose `{key}` it asks for"), needs(job).contains(of));
            let says = jobs(workflow).get(of).is_some_and(|it| it["outputs"].get(key).is_some());
            look(&format!("`{of}` says `{key}`"), says);
        }
        for step in items(&job["steps"]) {
            look("a step does one thing", step.get("run").is_some() != step.get("uses").is_some());
            let action =
                step["uses"].as_str().unwrap_or("a@0000000000000000000000000000000000000000");
            let pin = action.rsplit('@').next().unwrap_or_default();
            let is_hash = pin.len() == 40 && pin.bytes().all(|it| it.is_ascii_hexdigit());
            look(&format!("`{action}` is a commit"), is_hash);
            // A title or a branch's name in a script is a script of its writer.
            let script = step["run"].as_str().unwrap_or_default();
            look("a script takes what it is told from its environment", !script.contains("${{"));
        }
    }
    faults
}

fn needs(job: &Value) -> BTreeSet<&str> {
    items(&job["needs"]).chain([&job["needs"]]).filter_map(Value::as_str).collect()
}

/// Whether a job waits for another, at last.
fn reaches(workflow: &Value, from: &str, to: &str) -> bool {
    let (mut open, mut seen) = (vec![from], BTreeSet::new());
    while let Some(name) = open.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name) {
            open.extend(jobs(workflow).get(name).into_iter().flat_map(needs));
        }
    }
    false
}

#[test]
fn nobody_may_do_more_than_its_job_and_every_action_is_a_commit() {
    assert_eq!(faults(&read()), [""; 0]);
    assert_eq!(
        jobs(&read())["image"]["permissions"]["id-token"],
        "write",
        "else nothing is signed"
    );

    let action = json!("actions/checkout@v4");
    for (place, wrong, said) in [
        ("/permissions", json!({ "contents": "read" }), "whoever says nothing may do something"),
        ("/jobs/image/if", json!("github.ref == 'refs/heads/main'"), "is for main alone"),
        ("/jobs/check/permissions", json!({ "packages": "write" }), "is for main alone"),
        ("/jobs/check/timeout-minutes", json!(null), "how long it may take"),
        ("/jobs/check/steps/0/uses", action, "`actions/checkout@v4` is a commit"),
        ("/jobs/image/needs", json!(["check", "plans"]), "`plans` is a job"),
        ("/jobs/image/needs", json!(["check"]), "it needs `plan`, whose `images` it asks for"),
        ("/jobs/plan/outputs", json!({ "images": "" }), "`plan` says `services`"),
        ("/jobs/check/steps/1/run", json!("echo ${{ github.head_ref }}"), "from its environment"),
        ("/jobs/check/steps/1/run", json!("echo"), ""),
    ] {
        let mut workflow = read();
        *workflow.pointer_mut(place).unwrap() = wrong;
        let found = faults(&workflow);
        let is_found = found.iter().any(|it| it.contains(said));
        assert!(is_found != said.is_empty(), "{place}: {found:?}");
    }
    let mut circle = read();
    circle["jobs"]["check"]["needs"] = json!("canary");
    assert!(faults(&circle).iter().any(|it| it.ends_with("comes before")));
}

/// Every command of ours that it runs is one, with these options.
#[test]
fn what_it_runs_is_there() {
    let text = fs::read_to_string(workspace().join(FILE)).unwrap();
    for file in [".ci/run", ".github/walk.sh"] {
        assert!(text.contains(file) && workspace().join(file).is_file(), "{file}");
    }
    let own = text.split("--bin meshctl -- ").skip(1).map(|rest| rest.split_whitespace().next());
    let own: Vec<_> = own.collect();
    assert_eq!(own, [Some("affected")]);
}
