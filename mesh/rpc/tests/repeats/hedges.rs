//! Hedges: few, late enough, and never a failure of those that lose.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use mesh_policy::values;
use mesh_rpc::{
    Code,
    jitter::Jitter,
    retry::{Retries, Rule},
};
use tokio::time::{Instant, sleep};

use crate::support::{
    Script, call, code, failure, lost, metric, millis, pushed_back, retries, safe, success,
};

fn hedged() -> Rule {
    safe().hedge(values::Hedge::default())
}

/// Retries of a target that mostly answers in 10 ms.
async fn warm(target: &'static str, samples: usize) -> Retries {
    let retries = retries(1);
    for _ in 0..samples {
        let script = Script::slow([(millis(10), success())]);
        retries.run(&call(target), hedged(), |attempt| script.answer(attempt)).await.unwrap();
    }
    // A computed pause is kept for a while.
    sleep(millis(100)).await;
    retries
}

#[tokio::test(start_paused = true)]
async fn a_slow_attempt_is_joined_by_another_and_the_first_good_answer_wins() {
    let retries = warm("wins", 100).await;
    let script = Script::slow([(millis(5000), success()), (millis(3), success())]);
    let begin = Instant::now();

    let answer = retries.run(&call("wins"), hedged(), |attempt| script.answer(attempt)).await;

    assert_eq!(code(answer).await, Code::Ok);
    let hedged_after = script.pauses()[0];
    assert!((millis(10)..=millis(13)).contains(&hedged_after), "p95: {hedged_after:?}");
    assert!(begin.elapsed() <= millis(17));
    sleep(millis(9000)).await;
    assert_eq!(script.answered(), 1, "the loser is dropped");
    assert_eq!(retries.budget().state().tokens, 100.0, "and is no failure");
    assert_eq!(metric("grpc_client_call_hedges_sum", "wins"), 1.0);
    assert_eq!(metric("mesh_rpc_client_hedges_won_total", "wins"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn too_little_is_known_to_hedge_by() {
    let retries = warm("cold", 99).await;
    let script = Script::slow([(millis(5000), success())]);

    let answer = retries.run(&call("cold"), hedged(), |attempt| script.answer(attempt)).await;

    assert_eq!(code(answer).await, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn losers_do_not_teach_that_answers_are_slow_or_quick() {
    let retries = warm("lesson", 400).await;
    let pause = async || {
        let script = Script::slow([(millis(500), success()), (millis(9), success())]);
        retries.run(&call("lesson"), hedged(), |attempt| script.answer(attempt)).await.unwrap();
        script.pauses()[0]
    };
    let before = pause().await;
    for _ in 0..7 {
        pause().await;
        sleep(millis(100)).await;
    }

    assert_eq!(pause().await, before);
}

#[tokio::test(start_paused = true)]
async fn a_failure_fires_the_next_at_once_and_any_other_answer_ends_the_call() {
    let retries = warm("fires", 100).await;
    let script = Script::slow([(millis(1), lost()), (millis(1), success())]);
    let answer = retries.run(&call("fires"), hedged(), |attempt| script.answer(attempt)).await;
    assert_eq!(code(answer).await, Code::Ok);
    assert!(script.pauses()[0] <= millis(2), "{:?}", script.pauses());

    let fatal = (millis(1), failure(Code::NotFound));
    let script = Script::slow([(millis(5000), success()), fatal]);
    let answer = retries.run(&call("fires"), hedged(), |attempt| script.answer(attempt)).await;
    assert_eq!(code(answer).await, Code::NotFound, "and the other is dropped");
    assert_eq!(script.answered(), 1);
}

#[tokio::test(start_paused = true)]
async fn of_failures_alone_the_last_is_returned() {
    let retries = warm("fails", 100).await;
    let script = Script::slow([(millis(1), lost()), (millis(1), failure(Code::Unavailable))]);

    let answer = retries.run(&call("fails"), hedged(), |attempt| script.answer(attempt)).await;

    assert!(answer.is_ok(), "the callee's own word");
    assert_eq!(code(answer).await, Code::Unavailable);
    assert_eq!(retries.budget().state().tokens, 98.0, "both count");
}

#[tokio::test(start_paused = true)]
async fn a_callee_that_wants_no_repetition_gets_no_hedge_but_the_one_under_way_may_win() {
    let retries = warm("never", 100).await;
    let script = Script::slow([(millis(1), pushed_back(Code::Unavailable, "-1"))]);
    let answer = retries.run(&call("never"), hedged(), |attempt| script.answer(attempt)).await;
    assert_eq!(code(answer).await, Code::Unavailable);

    let never = (millis(1), pushed_back(Code::Unavailable, "-1"));
    let three = safe().hedge(values::Hedge { attempts: 3, ..Default::default() });
    let script = Script::slow([(millis(300), success()), never]);
    let answer = retries.run(&call("never"), three, |attempt| script.answer(attempt)).await;
    assert_eq!(code(answer).await, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_pushback_says_when_the_next_is_sent() {
    let retries = warm("when", 100).await;
    let later = (millis(1), pushed_back(Code::Unavailable, "40"));
    let script = Script::slow([later, (millis(1), success())]);

    let answer = retries.run(&call("when"), hedged(), |attempt| script.answer(attempt)).await;

    assert_eq!(code(answer).await, Code::Ok);
    assert!((millis(41)..=millis(42)).contains(&script.pauses()[0]), "{:?}", script.pauses());
}

#[tokio::test(start_paused = true)]
async fn hedges_are_at_most_their_share_of_the_calls() {
    const CALLS: usize = 2000;
    let early = safe().hedge(values::Hedge { percentile: 0.5, ..Default::default() });
    let retries = retries(1);
    let asked = AtomicUsize::new(0);

    for number in 0..CALLS {
        let share = call("share");
        let answer = retries.run(&share, early, |attempt| {
            asked.fetch_add(1, Relaxed);
            // Twice as many are slow as may be hedged.
            let slow = number % 10 == 0 && attempt.number() == 1;
            async move {
                sleep(millis(if slow { 200 } else { 10 })).await;
                success()
            }
        });
        assert_eq!(code(answer.await).await, Code::Ok);
    }

    let extra = asked.into_inner() - CALLS;
    assert!((CALLS / 25..=CALLS / 20).contains(&extra), "{extra}");
    assert!(metric("mesh_rpc_client_unrepeated_total", "share") > 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_sends_no_hedge() {
    let retries = warm("broke", 100).await;
    (0..60).for_each(|_| retries.budget().failed());
    let script = Script::slow([(millis(5000), success())]);

    let answer = retries.run(&call("broke"), hedged(), |attempt| script.answer(attempt)).await;

    assert_eq!(code(answer).await, Code::Ok);
    assert!(metric("mesh_rpc_client_unrepeated_total", "broke") > 0.0);
}

#[tokio::test(start_paused = true)]
async fn retries_and_hedges_share_one_budget() {
    let budget = values::Budget { tokens: 4.0, ratio: 0.2 };
    let retries = Retries::new(budget, Arc::new(Jitter::seeded(1)));
    let script = Script::new([lost(), lost()]);
    code(retries.run(&call("both"), hedged(), |attempt| script.answer(attempt)).await).await;

    let script = Script::new([lost()]);
    let answer = retries.run(&call("both"), safe(), |attempt| script.answer(attempt)).await;

    assert_eq!(code(answer).await, Code::Unavailable, "the hedges have spent it");
}
