//! Re-sends of what was not seen, below the retry policy.

use mesh_rpc::{
    Code, Deadline, Disposition, disposition,
    resend::Resend,
    retry::{Retries, Rule},
};
use tokio::time::Instant;

use crate::support::{Script, call, code, lost, metric, millis, refused, retries, success};

#[tokio::test(start_paused = true)]
async fn what_never_left_goes_again_and_takes_no_token() {
    let script = Script::new([refused(), refused(), refused(), success()]);
    let unsent = call("unsent");
    let resend = Resend::default().endpoints(9);
    let retries = Retries::default();

    let answer = retries.run(&unsent, Rule::default(), |attempt| {
        resend.run(attempt, |attempt| script.answer(attempt))
    });

    assert_eq!(code(answer.await).await, Code::Ok);
    assert_eq!(script.came(), [millis(0); 4], "at once: others may be there");
    assert_eq!(retries.budget().state().tokens, 100.0);
    drop(unsent);
    assert_eq!(metric("grpc_client_call_transparent_retries_sum", "unsent"), 3.0);
    assert_eq!(metric("mesh_rpc_client_resends_total", "unsent"), 3.0);
}

#[tokio::test(start_paused = true)]
async fn every_endpoint_may_be_tried_before_one_is_there() {
    let dead = (0..7).map(|_| refused());
    let script = Script::new(dead.chain([success()]));
    let resend = Resend::default().endpoints(8);

    let answer = resend.run(call("many").first(), |attempt| script.answer(attempt)).await;

    assert!(answer.is_ok());
}

#[tokio::test(start_paused = true)]
async fn when_all_refuse_there_is_a_pause_that_doubles_and_an_end() {
    let script = Script::new((0..4).map(|_| refused()));

    let answer =
        Resend::default().run(call("alone").first(), |attempt| script.answer(attempt)).await;

    assert_eq!(disposition(&answer.unwrap_err()), Disposition::NotSent);
    for (pause, computed) in script.pauses().into_iter().zip([25, 50, 100]) {
        let share = pause.div_duration_f64(millis(computed));
        assert!((0.8..=1.25).contains(&share), "{pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_pause_is_longer_than_the_call() {
    let deadline = Some(Deadline::after(millis(15)));
    let script = Script::new([refused()]);
    let begin = Instant::now();
    let short = call("short").deadline(deadline);

    let answer = Resend::default().run(short.first(), |attempt| script.answer(attempt)).await;

    assert_eq!(disposition(&answer.unwrap_err()), Disposition::NotSent);
    assert_eq!(begin.elapsed(), millis(0), "it says so at once");
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_done_is_left_to_the_policy() {
    let script = Script::new([lost()]);

    let answer =
        Resend::default().run(call("maybe").first(), |attempt| script.answer(attempt)).await;

    assert_eq!(disposition(&answer.unwrap_err()), Disposition::MaybeProcessed);
}

#[tokio::test(start_paused = true)]
async fn resends_count_over_all_attempts_at_a_call() {
    // Four sendings of the first attempt, and one of each of the two that the policy adds.
    let script = Script::new((0..6).map(|_| refused()));
    let resend = Resend::default();
    let down = call("down");

    let retries = retries(1);
    let answer = retries.run(&down, Rule::default(), |attempt| {
        resend.run(attempt, |attempt| script.answer(attempt))
    });

    assert_eq!(code(answer.await).await, Code::Unavailable);
    assert_eq!(script.attempts(), 6);
    assert_eq!(down.repetitions(), 5);
}
