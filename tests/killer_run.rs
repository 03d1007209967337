//! A minute of orders while somebody kills whatever runs.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_local::{Identity, Signal, Supervised};
use meshctl::demo::{self, Amount, Options, Tally};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::process::{Child, Command};

use crate::callers::doors;
use crate::evidence::keep;
use crate::shop::{SERVICES, Shop};

/// How long customers order.
const RUN: Duration = Duration::from_secs(60);
const CUSTOMERS: usize = 16;
/// How many times something is killed or stopped, at least.
const KILLS: usize = 20;
const SERVERS: [&str; 2] = ["postgres", "nats"];
/// What whoever lets a process go on may be late by.
const THAW: Duration = Duration::from_secs(1);

type Victim = &'static str;
type Hits = BTreeMap<(Victim, Way), usize>;

/// What is done to a victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// SIGKILL: it is started again.
    Killed,
    /// SIGSTOP, and SIGCONT after 1 to 10 s.
    Stopped,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_settles_while_services_and_servers_are_killed_and_stopped() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let shop = Shop::open_with(|options| options.isolated_postgres()).await;
    let doors = doors(&shop.platform);
    let options =
        Options { amount: Amount::During(RUN), concurrency: CUSTOMERS, seed, ..Options::default() };

    let tally = Arc::new(Tally::default());
    let (report, hits) =
        tokio::join!(demo::run(&doors, options, Arc::clone(&tally)), kill(&shop, seed));
    let report = report.unwrap();

    let all: usize = hits.values().sum();
    keep(
        "killer-run.txt",
        &format!(
            "seed {seed}\n{} orders: {} confirmed, {} rejected {:?}, {} parked, {} unsettled; \
             {} calls repeated\n{all} kills and stops: {hits:?}",
            report.orders,
            report.confirmed,
            report.rejected,
            report.rejections,
            report.parked.len(),
            report.unsettled.len(),
            report.retried,
        ),
    );
    assert!(report.unsettled.is_empty(), "seed {seed}: {:?}", report.unsettled);
    assert!(report.confirmed > 0, "seed {seed}: nothing was bought");
    assert!(all >= KILLS, "seed {seed}: {hits:?}");
    for planned in schedule() {
        assert!(hits.contains_key(&planned), "seed {seed}: {planned:?} was spared: {hits:?}");
    }
    for process in shop.platform.services() {
        process.ready().await;
    }
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// What is done whatever the seed: each server is stopped and killed, every second service is stopped, and
/// the others are killed.
fn schedule() -> impl Iterator<Item = (Victim, Way)> {
    let servers = |way| SERVERS.into_iter().map(move |server| (server, way));
    let services = SERVICES.iter().copied().zip([Way::Stopped, Way::Killed].into_iter().cycle());
    servers(Way::Stopped).chain(services).chain(servers(Way::Killed))
}

/// Kills or stops something every two seconds or so. Returns how often each was hit while it ran, once
/// everybody goes on.
async fn kill(shop: &Shop, seed: u64) -> Hits {
    let mut random = StdRng::seed_from_u64(seed);
    let mut killer = Killer { shop, thaws: Vec::new(), frozen_until: Instant::now() };
    let mut hits = Hits::new();
    let begun = Instant::now();
    let mut planned: VecDeque<_> = schedule().collect();
    while begun.elapsed() < RUN {
        // What is planned, then whoever comes; servers now and then.
        let next = planned.pop_front();
        let (victim, way) = next.unwrap_or_else(|| whoever_comes(&mut random));
        let pause = random.random_range(0.0..1.0);
        let freeze = Duration::from_secs_f64(random.random_range(1.0..10.0));
        if killer.strike(victim, way, freeze).await {
            *hits.entry((victim, way)).or_default() += 1;
        } else {
            // It was down, or stopped, already: its turn comes.
            planned.extend(next);
        }
        // The killer's own pace, not a wait for anything.
        tokio::time::sleep(Duration::from_secs_f64(1.0 + pause)).await;
    }
    for mut thaw in killer.thaws {
        thaw.wait().await.unwrap();
    }
    hits
}

fn whoever_comes(random: &mut StdRng) -> (Victim, Way) {
    let victim = if random.random_bool(0.1) {
        "postgres"
    } else if random.random_bool(0.15) {
        "nats"
    } else {
        SERVICES.choose(random).unwrap()
    };
    (victim, if random.random_bool(0.35) { Way::Stopped } else { Way::Killed })
}

struct Killer<'s> {
    shop: &'s Shop,
    /// Those who let go on what was stopped.
    thaws: Vec<Child>,
    /// Until when PostgreSQL is stopped: its sessions would outlive it if it was killed meanwhile, and
    /// nobody could take its place.
    frozen_until: Instant,
}

impl Killer<'_> {
    /// True if there was somebody to hit.
    async fn strike(&mut self, victim: Victim, way: Way, freeze: Duration) -> bool {
        let platform = &self.shop.platform;
        let process = match victim {
            "postgres" if Instant::now() < self.frozen_until => return false,
            "postgres" => platform.postgres().process(),
            "nats" => platform.nats().process(),
            service => platform.service(service).process(),
        };
        match (victim, way) {
            (_, Way::Stopped) => {
                let Some(stopped) = stop(process) else { return false };
                if victim == "postgres" {
                    self.frozen_until = Instant::now() + freeze + THAW;
                }
                self.thaws.push(thaw(&stopped, freeze));
                true
            }
            ("postgres", Way::Killed) => {
                platform.postgres().kill().await;
                true
            }
            ("nats", Way::Killed) => {
                platform.nats().kill().await;
                true
            }
            (_, Way::Killed) => process.signal(Signal::KILL),
        }
    }
}

/// Stops a process with all its children: a PostgreSQL has one for every session. Returns whom it
/// stopped, none if there is no such process.
fn stop(process: &Supervised) -> Option<Vec<u32>> {
    let parent = process.status().process.filter(|it| it.signal(Signal::STOP))?;
    // It makes no more of them now.
    let mut stopped = children(parent.pid);
    stopped.retain(|pid| Identity::of(*pid).is_some_and(|child| child.signal(Signal::STOP)));
    stopped.push(parent.pid);
    Some(stopped)
}

fn children(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Behind the name: the state, and the parent.
        let behind = stat.rsplit(')').next().unwrap_or_default();
        behind.split_whitespace().nth(1).is_some_and(|it| it == parent.to_string())
    };
    pids.filter(is_child).collect()
}

/// Lets them go on after a while, whatever becomes of this test. By pid: whoever came after them is none
/// of our business.
fn thaw(stopped: &[u32], freeze: Duration) -> Child {
    let pids: Vec<_> = stopped.iter().map(u32::to_string).collect();
    let script = format!("sleep {}; kill -CONT {}", freeze.as_secs_f64(), pids.join(" "));
    let mut thaw = Command::new("sh");
    thaw.args(["-c", &script]).process_group(0);
    thaw.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    thaw.spawn().unwrap()
}
