//! A new version takes over, or is put back, by the program itself: under calls that go on all the while.

use std::{
    cell::Cell,
    fs::{self, Permissions},
    future::Future,
    os::unix::fs::PermissionsExt as _,
    process::Output,
    time::Duration,
};

use futures::future::join_all;
use mesh_local::{Identity, Signal};
use mesh_testkit::{
    eventually,
    image::{Added, Image},
    program, programs,
};
use serde_json::Value;
use tonic::Code;

use super::{
    calls::{CHEAP, Line, reached_version},
    lab::Lab,
};

const SERVICE: &str = "catalog";
/// The next version: the second is there already, and has no calls.
const NEW: &str = "v3";
/// So many ask at a time: more of them wait for a processor as long as for an answer.
const CALLERS: usize = 4;

/// What callers saw.
#[derive(Debug, Default)]
struct Seen {
    calls: u64,
    failed: u64,
    /// Those that the faulty version answered.
    faulty: u64,
}

/// Asks until something else is done.
async fn called<T>(lab: &Lab, meanwhile: impl Future<Output = T>) -> (T, Seen) {
    let (line, enough) = (Line::to(SERVICE, lab.door()), Cell::new(false));
    let callers = (0..CALLERS).map(async |_| {
        let mut seen = Seen::default();
        while !enough.get() {
            let (code, headers) = line.answered(CHEAP).await;
            seen.calls += 1;
            seen.failed += u64::from(code != Code::Ok);
            seen.faulty += u64::from(headers.contains_key("x-answered-by"));
        }
        seen
    });
    let work = async {
        let outcome = meanwhile.await;
        enough.set(true);
        outcome
    };
    let (outcome, all) = tokio::join!(work, join_all(callers));
    let sum = |of: fn(&Seen) -> u64| all.iter().map(of).sum();
    let (calls, failed) = (sum(|it| it.calls), sum(|it| it.failed));
    (outcome, Seen { calls, failed, faulty: sum(|it| it.faulty) })
}

/// The words of a walk whose steps last this long.
fn walk<'a>(binary: &'a str, hold: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    walk_of(["--binary", binary, "--version", NEW], hold, more)
}

fn walk_of<'a, const N: usize>(
    what: [&'a str; N],
    hold: &'a str,
    more: &[&'a str],
) -> Vec<&'a str> {
    let new = [&["canary", SERVICE, "--json"], &what[..]].concat();
    let pace = ["--hold", hold, "--min-calls", "30", "--patience", "60s"];
    [&new[..], &pace, more].concat()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

async fn real() -> String {
    program(SERVICE).await.display().to_string()
}

/// An image of the real one, which is called as the new version is.
async fn image(lab: &Lab) -> String {
    let (real, path) = (fs::read(real().await).unwrap(), lab.home.path("catalog.tar"));
    let system = Image::running("/service", NEW).with(&[Added::File("etc/os-release", b"")]);
    let whole = system.and_then(|it| it.with(&[Added::File("service", &real)])).unwrap();
    whole.write(&path).unwrap();
    path.display().to_string()
}

/// A program that is the real one with a fault.
async fn faulty(lab: &Lab, name: &str, fault: &str) -> String {
    let wrapped = programs(&["mesh-testkit"]).await.join("faulty");
    let script = lab.home.path(name);
    let text = format!(
        "#!/bin/sh\nexport FAULTY_PROGRAM='{}' {fault}\nexec '{}'\n",
        real().await,
        wrapped.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    script.display().to_string()
}

/// Nothing of the new version is left, and the old one has all calls.
async fn is_as_before(lab: &Lab) {
    let (now, before) = (lab.processes_now(SERVICE), lab.processes(SERVICE));
    let versions = |all: &[super::lab::Process]| -> Vec<_> {
        all.iter().map(|it| (it.version.clone(), it.called)).collect()
    };
    assert_eq!(versions(&now), versions(&before));
    let kubectl = lab.kubectl();
    for kind in ["virtualservices", "destinationrules", "workloadentries", "sidecars"] {
        let kind = format!("{kind}.networking.istio.io");
        let all = kubectl.run(&["get", &kind, "--namespace", "shop", "--output", "json"]).await;
        assert!(!all.unwrap().contains(&format!("\"{NEW}\"")), "{kind} of {NEW}");
    }
    let line = Line::to(SERVICE, lab.door());
    let before = reached_version(&now, "v1").await;
    assert_eq!(line.many(100, &[]).await.failed(), 0);
    assert_eq!(reached_version(&now, "v1").await - before, 100);
}

pub async fn what_cannot_be_walked_is_refused(lab: &Lab) -> String {
    let real = real().await;
    let with = |version| vec!["canary", SERVICE, "--binary", &real, "--version", version];
    let ends = walk("/bin/true", "1s", &[]);
    // It runs, and is no service.
    let idle = faulty(lab, "idle", "; exec sleep 300").await;
    let idle = walk(&idle, "1s", &["--wait", "2s"]);
    let refused = [
        (with("v1"), "catalog v1 takes calls already"),
        (with("v2"), "a process of catalog is v2 already"),
        (ends, "/bin/true ends by itself"),
        (idle, "is not well after 2 s"),
    ];
    for (arguments, why) in &refused {
        let output = lab.tries(arguments).await;
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(why), "{why}: {}", said(&output));
    }
    lab.route(SERVICE, "weights = { v1 = 90, v2 = 10 }").await;
    let output = lab.tries(&with(NEW)).await;
    assert!(said(&output).contains("catalog is not as it is shipped"), "{}", said(&output));
    lab.as_shipped(SERVICE).await;
    is_as_before(lab).await;
    format!("{} of {}, and nothing was applied", refused.len() + 1, refused.len() + 1)
}

pub async fn a_good_version_takes_over_and_no_call_fails(lab: &Lab) -> String {
    // By its image, whose tag is what it is called.
    let image = image(lab).await;
    let words = walk_of(["--image", &image], "1s", &[]);
    let (output, seen) = called(lab, lab.tries(&words)).await;
    let told = report(&output);
    assert!(output.status.success() && told["done"] == true, "{}", said(&output));
    assert_eq!(told["version"], NEW);
    fs::remove_file(&image).unwrap();
    assert_eq!(seen.failed, 0, "of {} calls", seen.calls);
    let steps: Vec<_> = told["steps"].as_array().unwrap().iter().map(|it| &it["percent"]).collect();
    assert_eq!(steps, [1, 5, 25, 50, 100]);

    // It has all calls, and is looked after like any other process.
    let processes = lab.processes_now(SERVICE);
    let before = reached_version(&processes, NEW).await;
    assert_eq!(Line::to(SERVICE, lab.door()).many(100, &[]).await.failed(), 0);
    assert_eq!(reached_version(&processes, NEW).await - before, 100);
    lab.run(&["status"]).await;

    let again = lab.tries(&walk(&real().await, "1s", &[])).await;
    assert!(said(&again).contains("v3 has taken over: `"), "{}", said(&again));
    let (_, undone) = called(lab, lab.run(&["canary", SERVICE, "--abort"])).await;
    assert_eq!(undone.failed, 0, "of {} calls", undone.calls);
    is_as_before(lab).await;
    format!("5 steps and back, 0 of {} calls failed", seen.calls + undone.calls)
}

pub async fn a_version_that_fails_is_put_back(lab: &Lab) -> String {
    let binary = faulty(lab, "failing", "FAULTY_EVERY=20").await;
    let (output, seen) = called(lab, lab.tries(&walk(&binary, "1s", &[]))).await;
    let told = report(&output);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!((&told["done"], &told["rule"]), (&false.into(), &"failing".into()), "{told}");

    let hurt = &told["hurt"];
    assert!(seen.failed >= 3 && seen.failed * 20 < seen.calls, "{seen:?}");
    assert_eq!(hurt["failed"], seen.failed, "{hurt} {seen:?}");
    assert_eq!(hurt["calls"], seen.faulty, "{hurt} {seen:?}");
    is_as_before(lab).await;
    format!("at {} %: {} of {} calls hurt", told["step"], seen.failed, seen.calls)
}

pub async fn a_version_that_is_slow_is_put_back(lab: &Lab) -> String {
    let binary = faulty(lab, "slow", "FAULTY_TIMES=10").await;
    let (output, seen) = called(lab, lab.tries(&walk(&binary, "1s", &[]))).await;
    let told = report(&output);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(["slower", "late"].contains(&told["rule"].as_str().unwrap()), "{told}");

    let hurt = &told["hurt"];
    assert_eq!((seen.failed, &hurt["failed"]), (0, &0.into()), "{hurt} {seen:?}");
    assert_eq!(hurt["calls"], seen.faulty, "{hurt} {seen:?}");
    let slow = hurt["slow"].as_u64().unwrap();
    assert!(slow > 0 && slow <= seen.faulty, "{hurt} {seen:?}");
    is_as_before(lab).await;
    format!("at {} %: {slow} of {} calls hurt", told["step"], seen.calls)
}

pub async fn a_walk_that_is_ended_early_leaves_nothing(lab: &Lab) -> String {
    let real = real().await;
    let long = walk(&real, "300s", &["--steps", "50,100"]);
    for signal in [Signal::TERM, Signal::KILL] {
        let ended = async {
            let walk = lab.command(&long).stdout(std::process::Stdio::piped()).spawn().unwrap();
            let process = Identity::of(walk.id().unwrap()).unwrap();
            eventually("the new version to have calls", async || {
                let processes = lab.processes_now(SERVICE);
                processes.len() > 3 && reached_version(&processes, NEW).await > 20
            })
            .await;
            let second = lab.tries(&long).await;
            assert!(said(&second).contains("is under way"), "{}", said(&second));
            process.signal(signal);
            let walk = walk.wait_with_output().await.unwrap();
            if signal == Signal::KILL {
                // It left the new version where it was, and says so to whoever comes next.
                let third = lab.tries(&long).await;
                assert!(said(&third).contains("was killed at 50 %"), "{}", said(&third));
                lab.run(&["canary", SERVICE, "--abort"]).await;
            } else {
                assert_eq!(walk.status.code(), Some(1), "{}", said(&walk));
                assert_eq!(report(&walk)["rule"], "interrupted");
            }
        };
        let limit = Duration::from_secs(90);
        let (ended, seen) = called(lab, tokio::time::timeout(limit, ended)).await;
        ended.unwrap();
        assert_eq!(seen.failed, 0, "of {} calls", seen.calls);
        is_as_before(lab).await;
    }
    "by SIGTERM at once, after SIGKILL by --abort".to_owned()
}
