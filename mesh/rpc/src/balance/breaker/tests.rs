use super::*;

const VALUES: values::Breaker = values::Breaker {
    consecutive: 5,
    min_success: 0.5,
    window: Duration::from_secs(10),
    min_calls: 20,
    open: Duration::from_secs(1),
    max_open: Duration::from_secs(60),
};

struct Bench {
    breaker: Breaker,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self { breaker: Breaker::new(now), now }
    }

    fn judge(&mut self, verdict: Verdict) -> Effect {
        let generation = self.breaker.generation();
        self.judge_as(generation, verdict)
    }

    fn judge_as(&mut self, generation: u64, verdict: Verdict) -> Effect {
        self.breaker.judge(self.now, generation, verdict, &VALUES, 1.0)
    }

    fn trip(&mut self) {
        let generation = self.breaker.generation();
        assert!(self.breaker.trip(self.now, generation, Reason::Consecutive, &VALUES, 1.0));
    }

    fn after(&mut self, seconds: f64) -> &mut Self {
        self.now += Duration::from_secs_f64(seconds);
        self.breaker.tick(self.now);
        self
    }

    fn probe(&mut self) -> Option<u64> {
        self.breaker.take_probe(self.now, &VALUES)
    }
}

#[test]
fn five_hard_failures_in_a_row_open_it_and_four_do_not() {
    let mut bench = Bench::new();

    for verdict in [Verdict::Hard; 4] {
        assert_eq!(bench.judge(verdict), Effect::Nothing);
    }
    bench.judge(Verdict::Good);
    for verdict in [Verdict::Hard, Verdict::Hard, Verdict::Ignored, Verdict::Hard, Verdict::Hard] {
        assert_eq!(bench.judge(verdict), Effect::Nothing, "ignored ones are in no row");
    }

    assert_eq!(bench.judge(Verdict::Hard), Effect::Trip(Reason::Consecutive));
}

#[test]
fn fewer_than_half_of_twenty_within_ten_seconds_open_it() {
    let mut bench = Bench::new();
    for _ in 0..9 {
        bench.judge(Verdict::Good);
        assert_eq!(bench.judge(Verdict::Hard), Effect::Nothing);
    }
    bench.judge(Verdict::Hard);

    assert_eq!(bench.judge(Verdict::Hard), Effect::Trip(Reason::SuccessRate));
    assert_eq!(bench.after(11.0).judge(Verdict::Hard), Effect::Nothing, "the window slides");
}

#[test]
fn one_that_says_it_has_too_much_to_do_stays_in_whatever_share_it_turns_away() {
    let mut bench = Bench::new();

    for _ in 0..100 {
        assert_eq!(bench.judge(Verdict::Soft), Effect::Nothing);
    }
    for _ in 0..4 {
        bench.judge(Verdict::Hard);
    }
    bench.judge(Verdict::Soft);
    assert_eq!(bench.judge(Verdict::Hard), Effect::Nothing, "it lives: the row is broken");

    bench.trip();
    let probe = bench.after(1.0).probe().unwrap();
    assert_eq!(bench.judge_as(probe, Verdict::Soft), Effect::Nothing);
    assert!(bench.probe().is_some(), "the next call is the probe");
}

#[test]
fn exactly_one_probe_decides() {
    let mut bench = Bench::new();
    bench.trip();
    assert_eq!(bench.after(0.99).probe(), None, "still open");

    let probe = bench.after(0.01).probe().unwrap();
    assert_eq!(bench.probe(), None, "one at a time");
    assert_eq!(bench.judge_as(probe, Verdict::Hard), Effect::Changed);
    assert_eq!(bench.breaker.circuit(), Circuit::Open);

    assert_eq!(bench.after(1.9).probe(), None, "twice as long");
    let probe = bench.after(0.1).probe().unwrap();
    assert_eq!(bench.judge_as(probe, Verdict::Good), Effect::Changed);
    assert_eq!(bench.breaker.circuit(), Circuit::Closed);
}

#[test]
fn an_older_calls_answer_is_never_taken_for_the_probes() {
    let mut bench = Bench::new();
    let before = bench.breaker.generation();
    bench.trip();
    let probe = bench.after(1.0).probe().unwrap();

    assert_eq!(bench.judge_as(before, Verdict::Good), Effect::Nothing);
    assert_eq!(bench.breaker.circuit(), Circuit::HalfOpen);
    assert_eq!(bench.judge_as(before, Verdict::Hard), Effect::Nothing);
    assert_eq!(bench.breaker.circuit(), Circuit::HalfOpen);

    bench.judge_as(probe, Verdict::Good);
    for _ in 0..9 {
        assert_eq!(bench.judge_as(before, Verdict::Hard), Effect::Nothing, "nor open it again");
    }
}

#[test]
fn a_dropped_probe_returns_the_permit_and_is_heard_no_more() {
    let mut bench = Bench::new();
    bench.trip();
    let dropped = bench.after(1.0).probe().unwrap();

    assert!(bench.breaker.return_probe(dropped));
    assert!(!bench.breaker.return_probe(dropped), "once");
    let next = bench.probe().expect("the permit is back");

    assert_eq!(bench.judge_as(dropped, Verdict::Hard), Effect::Nothing);
    assert_eq!(bench.judge_as(next, Verdict::Ignored), Effect::Nothing, "says nothing");
    assert!(bench.probe().is_some(), "and gives the permit back");
}

#[test]
fn a_probe_without_an_answer_is_replaced_after_a_window() {
    let mut bench = Bench::new();
    bench.trip();
    let silent = bench.after(1.0).probe().unwrap();

    assert_eq!(bench.after(0.9).probe(), None);
    let next = bench.after(0.1).probe().unwrap();

    assert_eq!(bench.judge_as(silent, Verdict::Good), Effect::Nothing);
    assert_eq!(bench.judge_as(next, Verdict::Good), Effect::Changed);
}

#[test]
fn windows_double_up_to_a_minute_and_start_over_after_a_good_while() {
    let mut bench = Bench::new();
    bench.trip();
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60_u64] {
        let until = bench.breaker.next_event().unwrap();
        assert_eq!(until - bench.now, Duration::from_secs(seconds));
        let probe = bench.after(seconds as f64).probe().unwrap();
        bench.judge_as(probe, Verdict::Hard);
    }
    let probe = bench.after(60.0).probe().unwrap();
    bench.judge_as(probe, Verdict::Good);

    bench.after(9.0).trip();
    let until = bench.breaker.next_event().unwrap();
    assert_eq!(until - bench.now, Duration::from_secs(60), "it was not well for long");
    let probe = bench.after(60.0).probe().unwrap();
    bench.judge_as(probe, Verdict::Good);
    bench.after(10.1).trip();
    let until = bench.breaker.next_event().unwrap();
    assert_eq!(until - bench.now, Duration::from_secs(1));
}

#[test]
fn one_that_could_not_be_reached_is_back_with_the_connection() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        assert_eq!(bench.breaker.unreachable(bench.now, &VALUES, 1.0), Effect::Nothing);
    }
    assert_eq!(bench.breaker.unreachable(bench.now, &VALUES, 1.0), Effect::Changed);
    assert_eq!(bench.breaker.circuit(), Circuit::Open);

    bench.after(1.0);
    assert_eq!(bench.breaker.circuit(), Circuit::HalfOpen);
    assert_eq!(bench.breaker.unreachable(bench.now, &VALUES, 1.0), Effect::Changed);
    assert_eq!(bench.breaker.circuit(), Circuit::Open, "the dial was the probe");
    assert_eq!(bench.breaker.connected(bench.now), Effect::Changed);
    assert_eq!(bench.breaker.circuit(), Circuit::Closed);
}

#[test]
fn one_that_could_not_be_reached_is_tried_anew_when_nobody_else_is_left() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        bench.breaker.unreachable(bench.now, &VALUES, 1.0);
    }

    assert!(bench.breaker.reconsider(bench.now, &VALUES));
    assert_eq!(bench.breaker.circuit(), Circuit::Closed);
    assert!(!bench.breaker.reconsider(bench.now, &VALUES), "it is being tried");
    assert_eq!(bench.breaker.unreachable(bench.now, &VALUES, 1.0), Effect::Changed);
    assert_eq!(bench.breaker.circuit(), Circuit::Open, "one failure is enough now");
    let until = bench.breaker.next_event().unwrap();
    assert_eq!(until - bench.now, Duration::from_secs(2), "its windows go on growing");

    bench.breaker.connected(bench.now);
    bench.trip();
    assert!(!bench.breaker.reconsider(bench.now, &VALUES), "it answered badly");
}

#[test]
fn a_connection_alone_does_not_bring_back_one_that_answered_badly() {
    let mut bench = Bench::new();
    bench.trip();

    assert_eq!(bench.breaker.connected(bench.now), Effect::Nothing);
    assert_eq!(bench.breaker.circuit(), Circuit::Open);
    bench.after(1.0);
    bench.breaker.connected(bench.now);
    assert_eq!(bench.breaker.circuit(), Circuit::HalfOpen, "a call has to");
}
