//! Processes are kept running, taken down on request, and found again after their keeper died.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use mesh_local::{Identity, PidFile, ProcessSpec, Signal, Supervised, stop_leftovers};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_killed_process_is_started_again_under_a_new_id() {
    let process = Supervised::start(sleeper("killed"));
    let first = process.started(1).await.unwrap();

    assert!(process.signal(Signal::KILL));
    let second = process.started(2).await.unwrap();

    assert_ne!(first, second);
    assert!(!first.alive());
    assert!(second.alive());
    process.stop(PATIENCE).await;
    assert!(!second.alive());
    assert!(!process.spec().pid_file.as_ref().unwrap().exists());
}

#[tokio::test]
async fn pauses_between_starts_grow() {
    let mut spec = sleeper("failing");
    spec.program = "/bin/false".into();
    let begun = Instant::now();

    let process = Supervised::start(spec);
    let mut status = process.watch();
    status.wait_for(|now| now.starts >= 4).await.unwrap();

    // 100 + 200 + 400 ms of pauses.
    assert!(begun.elapsed() >= Duration::from_millis(700));
    process.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_process_taken_down_stays_down_until_it_may_run() {
    let process = Supervised::start(sleeper("down"));
    let first = process.started(1).await.unwrap();

    process.down(Signal::KILL, PATIENCE).await;
    assert!(!first.alive());
    assert_eq!(process.pid(), None);

    process.up();
    assert!(process.started(2).await.unwrap().alive());
    process.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_process_that_does_not_obey_is_killed_when_patience_runs_out() {
    let mut spec = sleeper("stubborn");
    spec.program = "/bin/sh".into();
    spec.args = vec!["-c".into(), "trap '' TERM; while :; do sleep 1; done".into()];
    let process = Supervised::start(spec);
    let running = process.started(1).await.unwrap();

    process.stop(Duration::from_millis(50)).await;

    assert!(!running.alive());
}

#[tokio::test]
async fn leftovers_of_a_dead_keeper_are_stopped_and_nothing_else() {
    let run = directory("leftovers");
    let spawn = || std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let (mut orphan, mut kept) = (spawn(), spawn());
    let (orphan_is, kept_is) =
        (Identity::of(orphan.id()).unwrap(), Identity::of(kept.id()).unwrap());
    let mut gone = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let keeper = Identity::of(gone.id());
    gone.kill().unwrap();
    gone.wait().unwrap();
    let orphan_file = PidFile { process: orphan_is, keeper, interrupt: false };
    orphan_file.write(&run.join("orphan.pid")).unwrap();
    let keeper = Identity::of(std::process::id());
    let kept_file = PidFile { process: kept_is, keeper, interrupt: false };
    kept_file.write(&run.join("kept.pid")).unwrap();

    let stopped = stop_leftovers(&run, PATIENCE).await.unwrap();

    assert_eq!(stopped, 1);
    assert!(!orphan_is.alive());
    assert!(kept_is.alive());
    orphan.wait().unwrap();
    kept.kill().unwrap();
    kept.wait().unwrap();
}

fn sleeper(name: &str) -> ProcessSpec {
    let directory = directory(name);
    ProcessSpec {
        name: name.to_owned(),
        replica: 0,
        program: "/bin/sleep".into(),
        args: vec!["60".into()],
        env: Vec::new(),
        directory: None,
        log: directory.join("log"),
        pid_file: Some(directory.join("pid")),
        user: None,
        stop: Signal::TERM,
    }
}

fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("supervision-{name}"));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}
