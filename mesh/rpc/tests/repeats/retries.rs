//! Retries, by gRFC A6 and the contract's word on idempotency.

use http::HeaderMap;
use mesh_policy::values;
use mesh_rpc::{
    Code, Deadline, Disposition, Refusal,
    deadline::within,
    disposition, guard, refusal,
    retry::{Codes, Rule},
};
use tokio::time::{Instant, sleep};

use crate::support::{
    Answer, Script, call, code, failure, lost, metric, millis, pushed_back, refused, retries, safe,
    streamed, success,
};

#[tokio::test(start_paused = true)]
async fn pauses_double_up_to_the_longest_and_are_drawn_from_a_fifth_around() {
    let values = values::Retry { attempts: 5, max_backoff: millis(200), ..Default::default() };
    let rule = safe().retry(values);
    let mut shares = Vec::new();

    for seed in 0..100 {
        let script = Script::new([lost(), lost(), lost(), lost(), success()]);
        let retries = retries(seed);
        let answer = retries.run(&call("pauses"), rule, |attempt| script.answer(attempt)).await;
        assert_eq!(code(answer).await, Code::Ok);
        let computed = [50, 100, 200, 200].map(millis);
        let pauses = script.pauses();
        shares.extend(pauses.iter().zip(computed).map(|(pause, of)| pause.div_duration_f64(of)));
    }

    // The paused clock has whole milliseconds.
    assert!(shares.iter().all(|share| (0.8..=1.22).contains(share)), "{shares:?}");
    assert!(shares.iter().any(|share| *share < 0.82), "the whole range is drawn from");
    assert!(shares.iter().any(|share| *share > 1.18));
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_pauses() {
    let pauses = async |seed| {
        let script = Script::new([lost(), lost(), success()]);
        let retries = retries(seed);
        let answer = retries.run(&call("seeds"), safe(), |attempt| script.answer(attempt)).await;
        answer.unwrap();
        script.pauses()
    };

    assert_eq!(pauses(7).await, pauses(7).await);
    assert_ne!(pauses(7).await, pauses(8).await);
}

#[tokio::test(start_paused = true)]
async fn a_callee_that_says_when_is_asked_then_and_pauses_begin_anew() {
    let later = pushed_back(Code::Unavailable, "400");
    let script = Script::new([lost(), lost(), later, lost(), success()]);
    let rule = safe().retry(values::Retry { attempts: 5, ..Default::default() });

    let retries = retries(1);
    let answer = retries.run(&call("pushback"), rule, |attempt| script.answer(attempt)).await;

    assert_eq!(code(answer).await, Code::Ok);
    let pauses = script.pauses();
    assert!((millis(80)..=millis(121)).contains(&pauses[1]), "the second: {pauses:?}");
    assert!((millis(400)..=millis(401)).contains(&pauses[2]), "{pauses:?}");
    assert!((millis(40)..=millis(61)).contains(&pauses[3]), "the first again: {pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_callee_that_wants_no_repetition_gets_none_and_it_costs_a_token() {
    for never in ["-1", "later"] {
        let script = Script::new([pushed_back(Code::Unavailable, never)]);
        let retries = retries(1);

        let answer = retries.run(&call("never"), safe(), |attempt| script.answer(attempt)).await;

        assert_eq!(code(answer).await, Code::Unavailable);
        assert_eq!(retries.budget().state().tokens, 99.0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_would_come_too_late_is_not_tried() {
    let retries = retries(1);
    for _ in 0..9 {
        let script = Script::slow([(millis(40), success())]);
        retries.run(&call("late"), safe(), |attempt| script.answer(attempt)).await.unwrap();
    }
    // A pause is at least 40 ms, and the median attempt takes 40 ms to 45 ms.
    let deadline = Some(Deadline::after(millis(80)));
    let begin = Instant::now();
    let script = Script::new([lost()]);

    let late = call("late").deadline(deadline);
    let work = retries.run(&late, safe(), |attempt| script.answer(attempt));
    let answer = within(deadline, work).await;

    assert_eq!(code(answer).await, Code::Unavailable, "what the attempt said");
    assert_eq!(begin.elapsed(), millis(0), "at once");
    assert_eq!(metric("mesh_rpc_client_unrepeated_total", "late"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_done_is_repeated_only_if_that_does_no_harm() {
    let unsafe_rule = Rule::default();
    for answer in [lost(), failure(Code::Unavailable), streamed(Code::Unavailable, true)] {
        let script = Script::new([answer]);
        let retries = retries(1);
        let answer = retries.run(&call("unsafe"), unsafe_rule, |a| script.answer(a)).await;
        assert_eq!(code(answer).await, Code::Unavailable);
    }

    let script = Script::new([refused(), success()]);
    let answer = retries(1).run(&call("unsafe"), unsafe_rule, |a| script.answer(a)).await;

    assert_eq!(code(answer).await, Code::Ok, "it was not done");
}

#[tokio::test(start_paused = true)]
async fn codes_that_say_nothing_about_repetition_end_the_call() {
    let all: Vec<_> = (0..17).map(Code::from_i32).collect();
    let rule = safe().codes(Codes::new(&all));
    let never =
        [Code::Internal, Code::Unknown, Code::Cancelled, Code::Aborted, Code::ResourceExhausted];
    for never in never {
        let script = Script::new([failure(never)]);
        let answer = retries(1).run(&call("codes"), rule, |attempt| script.answer(attempt)).await;
        assert_eq!(code(answer).await, never);
    }

    let full = pushed_back(Code::ResourceExhausted, "10");
    let script = Script::new([full, success()]);
    let answer = retries(1).run(&call("codes"), safe(), |attempt| script.answer(attempt)).await;

    assert_eq!(code(answer).await, Code::Ok);
    assert!((millis(10)..=millis(11)).contains(&script.pauses()[0]));
}

#[tokio::test(start_paused = true)]
async fn a_unary_answer_is_looked_into_before_the_caller_has_it() {
    for broken in [streamed(Code::Unavailable, false), streamed(Code::Unavailable, true)] {
        let script = Script::new([broken, success()]);
        let answer = retries(1).run(&call("unary"), safe(), |a| script.answer(a)).await;
        assert_eq!(code(answer).await, Code::Ok);
        assert_eq!(script.attempts(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_committed_by_its_headers() {
    let stream = safe().streaming();
    let script = Script::new([failure(Code::Unavailable), streamed(Code::Unavailable, true)]);

    let answer = retries(1).run(&call("stream"), stream, |attempt| script.answer(attempt)).await;

    assert_eq!(script.attempts(), 2, "trailers alone are no stream yet");
    assert_eq!(code(answer).await, Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_kept_is_sent_once() {
    let script = Script::new([refused()]);
    let once = call("once").repeatable(false);

    let answer = retries(1).run(&once, safe(), |attempt| script.answer(attempt)).await;

    assert_eq!(disposition(&answer.unwrap_err()), Disposition::NotSent);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_this_side_is_not_repeated_and_costs_nothing() {
    let retries = retries(1);
    let passed = Some(Deadline::at(Instant::now()));
    let refuse = || async move { within(passed, async { success() }).await };

    let answer = retries.run(&call("refused"), safe(), |_| refuse()).await;

    assert_eq!(refusal::refusal(&answer.unwrap_err()), Some(Refusal::Deadline));
    assert_eq!(retries.budget().state().tokens, 100.0);
    assert_eq!(metric("grpc_client_call_retries_count", "refused"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn the_callee_learns_how_often_it_was_asked_before() {
    let seen = std::sync::Mutex::new(Vec::new());
    let (previous, retries) = (call("previous"), retries(1));

    let answer = retries.run(&previous, safe(), |attempt| {
        let mut headers = HeaderMap::new();
        attempt.write(&mut headers);
        let previous = headers.get("grpc-previous-rpc-attempts");
        seen.lock().unwrap().push(previous.map(|it| it.to_str().unwrap().to_owned()));
        async { failure(Code::Unavailable) }
    });
    answer.await.unwrap();

    let seen = seen.into_inner().unwrap();
    assert_eq!(seen, [None, Some("1".to_owned()), Some("2".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn what_repetition_cost_is_measured_once_per_call() {
    let script = Script::new([lost(), lost(), success(), success()]);
    let retries = retries(1);
    for _ in 0..2 {
        let measured = call("measured");
        retries.run(&measured, safe(), |attempt| script.answer(attempt)).await.unwrap();
    }

    assert_eq!(metric("grpc_client_call_retries_count", "measured"), 1.0, "not the one without");
    assert_eq!(metric("grpc_client_call_retries_sum", "measured"), 2.0);
    let delay = metric("grpc_client_call_retry_delay_seconds_sum", "measured");
    assert!((0.12..=0.18).contains(&delay), "{delay}");
    assert_eq!(metric("grpc_client_attempt_duration_seconds_count", "measured"), 4.0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_marked_for_callers_further_up_only_if_it_was_repeated_here() {
    let marks = async |rule: Rule, answers: Vec<Answer>| {
        let script = Script::new(answers);
        let retries = retries(1);
        let (scope, handler) = guard::scope(async {
            let failed = call("marks");
            _ = retries.run(&failed, rule, |attempt| script.answer(attempt)).await;
        });
        handler.await;
        scope.is_exhausted()
    };
    let unavailable = || failure(Code::Unavailable);

    assert!(marks(safe(), vec![lost(), lost(), lost()]).await);
    assert!(marks(safe(), vec![pushed_back(Code::Unavailable, "-1")]).await, "marked behind");
    assert!(!marks(Rule::default(), vec![unavailable()]).await, "the next hop up may know better");
    assert!(!marks(safe(), vec![unavailable(), success()]).await);
    assert!(!marks(safe(), vec![failure(Code::NotFound)]).await);
    let once = values::Retry { attempts: 1, ..Default::default() };
    assert!(!marks(safe().retry(once), vec![unavailable()]).await);
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_ends_the_attempt_and_the_pauses() {
    let deadline = Some(Deadline::after(millis(30)));
    let script = Script::slow([(millis(1000), success())]);
    let retries = retries(1);
    let slow = call("slow").deadline(deadline);

    let work = retries.run(&slow, safe(), |attempt| script.answer(attempt));
    let status = within(deadline, work).await.unwrap_err();

    assert_eq!(status.code(), Code::DeadlineExceeded);
    sleep(millis(5000)).await;
    assert_eq!((script.attempts(), script.answered()), (1, 0));
}
