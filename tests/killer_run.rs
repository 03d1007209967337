//! A minute of orders while somebody kills whatever runs.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_local::Signal;
use meshctl::demo::{self, Amount, Options, Tally};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use crate::callers::doors;
use crate::shop::{SERVICES, Shop};

/// How long customers order.
const RUN: Duration = Duration::from_secs(60);
const CUSTOMERS: usize = 16;
/// How many times something is killed or stopped, at least.
const KILLS: usize = 20;
const SERVERS: [&str; 2] = ["postgres", "nats"];

#[tokio::test(flavor = "multi_thread")]
async fn every_order_settles_while_services_and_servers_are_killed_and_stopped() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let shop = Shop::open_with(|options| options.isolated_postgres()).await;
    let doors = doors(&shop.platform);
    let options =
        Options { amount: Amount::During(RUN), concurrency: CUSTOMERS, seed, ..Options::default() };

    let tally = Arc::new(Tally::default());
    let (report, kills) =
        tokio::join!(demo::run(&doors, options, Arc::clone(&tally)), kill(&shop, seed));
    let report = report.unwrap();

    println!(
        "{} orders: {} confirmed, {} rejected {:?}, {} parked, {} unsettled; {} calls repeated",
        report.orders,
        report.confirmed,
        report.rejected,
        report.rejections,
        report.parked.len(),
        report.unsettled.len(),
        report.retried,
    );
    println!("{} kills: {kills:?}", kills.values().sum::<usize>());
    assert!(report.unsettled.is_empty(), "seed {seed}: {:?}", report.unsettled);
    assert!(report.confirmed > 0, "seed {seed}: nothing was bought");
    assert!(kills.values().sum::<usize>() >= KILLS, "seed {seed}: {kills:?}");
    for victim in SERVICES.iter().chain(&SERVERS) {
        assert!(kills.contains_key(victim), "seed {seed}: {victim} was spared");
    }
    for process in shop.platform.services() {
        process.ready().await;
    }
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// Kills or stops something every two seconds or so. Returns how often each was hit while it ran.
async fn kill(shop: &Shop, seed: u64) -> BTreeMap<&'static str, usize> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut hits = BTreeMap::new();
    let begun = Instant::now();
    let mut victims = [SERVICES, &SERVERS].concat();
    while begun.elapsed() < RUN {
        // Everybody once, then whoever comes; servers now and then.
        let victim = match victims.pop() {
            Some(victim) => victim,
            None if random.random_bool(0.1) => "postgres",
            None if random.random_bool(0.15) => "nats",
            None => SERVICES.choose(&mut random).unwrap(),
        };
        let pause = random.random_range(0.0..1.0);
        if strike(shop, victim, &mut random).await {
            *hits.entry(victim).or_default() += 1;
        } else if !hits.contains_key(victim) {
            // It was down already: its turn comes.
            victims.insert(0, victim);
        }
        // The killer's own pace, not a wait for anything.
        tokio::time::sleep(Duration::from_secs_f64(1.0 + pause)).await;
    }
    hits
}

/// True if there was somebody to hit.
async fn strike(shop: &Shop, victim: &str, random: &mut StdRng) -> bool {
    let freeze = Duration::from_secs_f64(random.random_range(1.0..10.0));
    let stops = random.random_bool(0.35);
    match victim {
        "postgres" => {
            shop.platform.postgres().kill().await;
            true
        }
        "nats" => {
            shop.platform.nats().kill().await;
            true
        }
        service if stops => {
            let process = shop.platform.service(service).process();
            let hit = process.signal(Signal::STOP);
            let pid = process.pid();
            tokio::spawn(async move {
                tokio::time::sleep(freeze).await;
                // By pid: whoever came after it is none of our business.
                if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) {
                    let _ = std::process::Command::new("kill")
                        .args(["-CONT", &pid.to_string()])
                        .status();
                }
            });
            hit
        }
        service => shop.platform.service(service).process().signal(Signal::KILL),
    }
}
