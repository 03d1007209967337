//! Ten thousand connections that say nothing.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use mesh_echo::Echo;
use mesh_policy::values;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{Callee, Stack, alone, eventually, read};

const CONNECTIONS: usize = 10_000;
/// What one costs the server at most: HTTP/2's buffers and tables, a task and its timers.
const MEMORY_EACH: usize = 48 << 10;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_cost_bounded_memory_and_no_call() {
    let _alone = alone().await;
    let count = CONNECTIONS.min(files().saturating_sub(500));
    if count < CONNECTIONS {
        println!("only {count} connections: no more files may be open here");
    }
    // The peers do not answer pings, and a busy machine may need longer than a ping's limit.
    let values = values::Server { ping: Duration::from_secs(3600), ..values::Server::default() };
    let callee = Callee::set(Echo::default(), values).await;
    let mut client = Stack::new("idle", &[callee.address]).client();
    client.read(read("1")).await.unwrap();
    let before = resident();

    // In a process of their own, because both ends in one would need twice the files.
    let mut peers = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "idle::hold_connections", "--nocapture"])
        .env("HOLD", format!("{count} {}", callee.address))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(peers.stdout.take().unwrap()).lines();
    let held = tokio::task::spawn_blocking(move || {
        let held = told.by_ref().map_while(Result::ok).any(|line| line.ends_with("held"));
        (held, told)
    });
    let (held, _open) = held.await.unwrap();
    assert!(held, "the peers are connected");
    eventually("all are accepted", || callee.in_flight("connections") > count).await;
    client.read(read("1")).await.unwrap();
    let each = resident().saturating_sub(before) / count;

    println!("{each} bytes for each of {count}");
    assert!(each < MEMORY_EACH, "{each} bytes for each of {count}");
    drop(peers.stdin.take());
    assert!(peers.wait().unwrap().success());
    eventually("all have gone", || callee.in_flight("connections") == 1).await;
    callee.stop().await;
}

/// The other process of the test above; with nobody to hold connections for it has nothing to do.
#[test]
fn hold_connections() {
    let Ok(hold) = std::env::var("HOLD") else { return };
    let (count, address) = hold.split_once(' ').unwrap();
    let (count, address): (usize, SocketAddr) = (count.parse().unwrap(), address.parse().unwrap());
    files();
    let connections: Vec<_> = (0..count)
        .map(|_| {
            let mut connection = TcpStream::connect(address).unwrap();
            connection.write_all(PREFACE).unwrap();
            connection
        })
        .collect();
    println!("{} held", connections.len());
    let _ = std::io::stdin().read(&mut [0]);
}

/// Opens as many files as one may, and returns how many that is.
fn files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, most).unwrap();
    limit.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

/// The memory of this process that is in use.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}
