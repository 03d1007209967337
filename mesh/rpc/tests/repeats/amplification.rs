//! What an outage costs the one who is down: little more than the calls that are made.

use std::{
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use mesh_policy::values;
use mesh_rpc::{
    Code, Refusal,
    guard::Scope,
    refusal::refusal,
    retry::{Retries, Rule},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tonic::{Status, body::Body};

use crate::support::{Answer, call, code, failure, lost, retries, safe, success};

const CALLS: usize = 20_000;

fn four_attempts() -> Rule {
    safe().retry(values::Retry { attempts: 4, ..Default::default() })
}

#[tokio::test(start_paused = true)]
async fn a_total_outage_is_asked_hardly_more_often_than_callers_ask() {
    let asked = AtomicUsize::new(0);
    let retries = retries(1);

    for _ in 0..CALLS {
        let down = call("outage");
        let answer = retries.run(&down, four_attempts(), |_| async {
            asked.fetch_add(1, Relaxed);
            failure(Code::Unavailable)
        });
        assert_eq!(code(answer.await).await, Code::Unavailable);
    }

    let amplification = asked.into_inner() as f64 / CALLS as f64;
    assert!((1.0..=1.1).contains(&amplification), "{amplification}");
}

#[tokio::test(start_paused = true)]
async fn ten_percent_of_random_failures_hardly_reach_callers() {
    for seed in 0..4 {
        let random = std::sync::Mutex::new(StdRng::seed_from_u64(seed));
        let retries = retries(seed);
        let (mut failed, asked) = (0, AtomicUsize::new(0));

        for _ in 0..CALLS {
            let flaky = call("flaky");
            let answer = retries.run(&flaky, four_attempts(), |_| async {
                asked.fetch_add(1, Relaxed);
                let fails = random.lock().unwrap().random_bool(0.1);
                if fails { lost() } else { success() }
            });
            failed += usize::from(code(answer.await).await != Code::Ok);
        }

        assert!(failed <= CALLS / 1000, "{failed} of {CALLS}");
        let amplification = asked.into_inner() as f64 / CALLS as f64;
        assert!(amplification <= 1.13, "{amplification}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_comes_back_is_retried_again() {
    let retries = retries(1);
    for _ in 0..200 {
        let down = call("back");
        retries.run(&down, safe(), |_| async { failure(Code::Unavailable) }).await.unwrap();
    }
    assert!(!retries.budget().state().allows);

    for _ in 0..300 {
        retries.run(&call("back"), safe(), |_| async { success() }).await.unwrap();
    }

    assert!(retries.budget().state().allows);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_budget_did_not_let_repeat_says_so() {
    let retries = retries(1);
    let mut last = None;
    for call_number in 0..60 {
        let down = call("spent");
        let even = call_number % 2 == 0;
        let answer = retries.run(&down, safe(), |_| async move {
            if even { lost() } else { failure(Code::Unavailable) }
        });
        last = Some(answer.await);
        if even {
            let status = last.take().unwrap().unwrap_err();
            last = Some(Err(status));
        }
    }

    let response = last.unwrap().unwrap();
    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!(refusal(&status), Some(Refusal::BudgetSpent));
    let status = retries.run(&call("spent"), safe(), |_| async { lost() }).await.unwrap_err();
    assert_eq!(refusal(&status), Some(Refusal::BudgetSpent));
}

/// Services in a row: each answers by calling the next; the last one is down.
struct Chain {
    hops: Vec<Hop>,
    leaf: AtomicUsize,
}

struct Hop {
    retries: Retries,
    asked: AtomicUsize,
}

impl Chain {
    fn new() -> Self {
        let hop = |seed| Hop { retries: retries(seed), asked: AtomicUsize::new(0) };
        Self { hops: (0..3).map(hop).collect(), leaf: AtomicUsize::new(0) }
    }

    /// What a call to the service at `place` is answered, as it comes over the wire.
    fn ask(&self, place: usize) -> Pin<Box<dyn Future<Output = Answer> + '_>> {
        Box::pin(async move {
            let Some(hop) = self.hops.get(place) else {
                self.leaf.fetch_add(1, Relaxed);
                return failure(Code::Unavailable);
            };
            hop.asked.fetch_add(1, Relaxed);
            let scope = Scope::default();
            let next = call("chain");
            let handler = hop.retries.run(&next, four_attempts(), |_| self.ask(place + 1));
            let answered = scope.enter(handler).await;
            // A handler makes a status of its own from what it got; nothing of that is handed on.
            assert_eq!(code(answered).await, Code::Unavailable);
            let mut response = failure(Code::Unavailable)?;
            scope.mark(response.headers_mut());
            Ok(response.map(|_| Body::empty()))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn over_three_hops_only_the_one_next_to_the_failure_repeats() {
    let chain = Chain::new();

    for _ in 0..5 {
        chain.ask(0).await.unwrap();
    }

    let asked: Vec<_> = chain.hops.iter().map(|hop| hop.asked.load(Relaxed)).collect();
    assert_eq!(asked, [5, 5, 5], "nobody further up repeats");
    assert_eq!(chain.leaf.load(Relaxed), 5 * 4);
}

#[tokio::test(start_paused = true)]
async fn a_total_outage_behind_three_hops_is_asked_hardly_more_often_than_callers_ask() {
    const CALLS: usize = 2000;
    let chain = Chain::new();

    for _ in 0..CALLS {
        chain.ask(0).await.unwrap();
    }

    let amplification = chain.leaf.load(Relaxed) as f64 / CALLS as f64;
    assert!((1.0..=1.1).contains(&amplification), "{amplification}");
}
