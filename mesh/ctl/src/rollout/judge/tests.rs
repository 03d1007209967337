use super::*;
use crate::rollout::Times;

const RULES: Rules = Rules {
    failing: 0.001,
    late: Some((Duration::from_millis(250), 0.01)),
    slower: 2.0,
    fewest: 50,
};
const BOUNDS: [f64; 8] = [1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, f64::INFINITY];

/// So many calls, of which so many failed, all of them within five milliseconds.
fn failed(failed: u64, calls: u64) -> Measured {
    took(&[(calls, 3.0)]).failing(failed)
}

/// So many calls took so many milliseconds.
fn took(parts: &[(u64, f64)]) -> Measured {
    let within = |bound: f64| parts.iter().filter(|(_, took)| *took <= bound).map(|it| it.0).sum();
    let calls = parts.iter().map(|(count, _)| count).sum();
    let times = Times::new(BOUNDS.map(|bound| (bound, within(bound))).to_vec());
    Measured { calls, times, ..Measured::default() }
}

impl Measured {
    fn failing(self, failed: u64) -> Measured {
        Measured { failed, ..self }
    }
}

#[test]
fn a_version_that_does_as_the_old_one_does_breaks_no_rule() {
    let old = took(&[(9_890, 3.0), (110, 40.0)]).failing(9);
    for new in [
        Measured::default(),
        failed(0, 1),
        failed(1, 100),
        failed(2, 500),
        failed(10, 10_000),
        took(&[(980, 3.0), (20, 40.0)]),
        // A new process' first calls.
        took(&[(97, 3.0), (3, 120.0)]),
    ] {
        assert_eq!(judge(&RULES, &new, &old), None, "{new:?}");
    }
}

#[test]
fn failures_beyond_what_is_promised_are_found_as_soon_as_there_are_enough_of_them() {
    let old = failed(0, 10_000);

    for (bad, of) in [(3, 3), (3, 100), (5, 100), (8, 1_000), (140, 100_000)] {
        let broken = judge(&RULES, &failed(bad, of), &old);
        assert_eq!(broken, Some(Broken::Failing { bad, of, allowed: 0.001 }), "{bad} of {of}");
    }
    for (bad, of) in [(2, 2), (4, 1_000), (120, 100_000)] {
        assert_eq!(judge(&RULES, &failed(bad, of), &old), None, "{bad} of {of}");
    }
    let rules = Rules { failing: 0.1, ..RULES };
    assert_eq!(judge(&rules, &failed(10, 100), &old), None, "more may, if more was asked for");
}

#[test]
fn what_fails_with_both_versions_is_not_held_against_the_new_one() {
    let (new, old) = (failed(10, 200), failed(50, 1_000));

    assert_eq!(judge(&RULES, &new, &old), None);
    let worse = judge(&RULES, &failed(30, 200), &old);
    assert_eq!(worse, Some(Broken::Failing { bad: 30, of: 200, allowed: 0.05 }));
}

#[test]
fn one_that_is_ten_times_slower_is_found_and_one_that_is_as_slow_is_not() {
    let old = took(&[(990, 4.0), (10, 9.0)]);
    let ms = Duration::from_millis;

    let broken = judge(&RULES, &took(&[(10, 9.0), (90, 40.0)]), &old);
    assert_eq!(broken, Some(Broken::Slower { bad: 90, of: 100, limit: ms(10), old: ms(5) }));
    assert_eq!(broken.unwrap().limit(), Some(ms(10)));

    assert_eq!(judge(&RULES, &took(&[(100, 9.0)]), &old), None, "twice as slow may be");
    let few = took(&[(49, 90.0)]);
    assert_eq!(judge(&RULES, &few, &old), None, "of so few nothing is known");
    assert_eq!(judge(&RULES, &took(&[(100, 90.0)]), &took(&[(49, 4.0)])), None);
    assert_eq!(judge(&RULES, &took(&[(100, 4.0)]), &took(&[(500, 0.1)])), None, "not noticed");
}

#[test]
fn calls_that_are_given_up_are_slow_ones() {
    let old = took(&[(1_000, 4.0)]);
    let new = Measured { given_up: 40, ..took(&[(60, 4.0)]) };

    let broken = judge(&Rules { late: None, ..RULES }, &new, &old);

    let Some(Broken::Slower { bad: 40, of: 100, .. }) = broken else { panic!("{broken:?}") };
}

#[test]
fn what_is_promised_of_time_is_held_also_where_nothing_can_be_compared() {
    let new = took(&[(170, 100.0), (30, 400.0)]);
    let bound = Duration::from_millis(250);

    let broken = judge(&RULES, &new, &Measured::default());
    assert_eq!(broken, Some(Broken::Late { bad: 30, of: 200, allowed: 0.01, bound }));

    let old = took(&[(170, 100.0), (30, 400.0)]);
    assert_eq!(judge(&RULES, &new, &old), None, "the old one is as late");
    assert_eq!(judge(&Rules { late: None, ..RULES }, &new, &Measured::default()), None);
}

#[test]
fn tails_are_those_of_the_binomial_distribution() {
    // By hand: 3 of 3, at least 1 of 2, at least 2 of 3.
    for (least, of, probability, expected) in [
        (3, 3, 0.5, 0.125),
        (1, 2, 0.1, 0.19),
        (2, 3, 0.5, 0.5),
        (0, 5, 0.1, 1.0),
        (6, 5, 0.1, 0.0),
    ] {
        let found = tail(least, of, probability);
        assert!((found - expected).abs() < 1e-9, "{least} of {of}: {found}");
    }
    // Of very many: about a half lies beyond the mean.
    let half = tail(10_000, 1_000_000, 0.01);
    assert!((0.49..0.52).contains(&half), "{half}");
    assert!(tail(10_500, 1_000_000, 0.01) < 1e-6);
}

#[test]
fn what_was_broken_is_said_in_one_line() {
    let ms = Duration::from_millis;
    for (broken, said) in [
        (
            Broken::Failing { bad: 5, of: 101, allowed: 0.001 },
            "5 of 101 calls failed, and 0.1 % may",
        ),
        (
            Broken::Late { bad: 9, of: 80, allowed: 0.01, bound: ms(250) },
            "9 of 80 calls took longer than 250ms, and 1 % may",
        ),
        (
            Broken::Slower { bad: 9, of: 80, limit: ms(25), old: ms(10) },
            "9 of 80 calls took longer than 25ms, and 1 % may: the old version's p99 is within 10ms",
        ),
    ] {
        assert_eq!(broken.to_string(), said);
    }
}
