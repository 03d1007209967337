//! Guessing: slowed per account and per address, and no answer says whether there is an account.

use std::time::{Duration, Instant};

use shop::users::v1::{DeactivateUserRequest, RequestPasswordResetRequest, SignInRequest};
use tonic::Code;
use tonic_types::StatusExt as _;
use users::Config;

use crate::support::{Users, refused, sign_in, uuid};

const BOTH: [&str; 2] = ["email", "password"];
/// How often each kind of attempt is measured.
const SAMPLES: usize = 100;
/// How often of a hundred times one kind of answer may be the slower of a pair. Of two that take the
/// same time it is fifty, give or take ten (and five times that spread are beyond these bounds); who
/// leaves a hash out is never.
const EVEN: std::ops::RangeInclusive<f64> = 0.25..=0.75;

fn wrong(email: &str) -> SignInRequest {
    SignInRequest { password: "wrong horse battery".to_owned(), ..sign_in(email) }
}

fn unknown() -> String {
    format!("{}@example.com", uuid())
}

/// Nobody waits.
fn patient(config: Config) -> Config {
    Config { free_attempts_per_account: 1000, free_attempts_per_address: 10_000, ..config }
}

#[tokio::test]
async fn an_unknown_account_and_a_wrong_password_are_answered_alike() {
    let users = Users::start().await;
    let ada = users.person().await;

    let known = users.sign_in(wrong(&ada.email)).await.unwrap_err();
    let nobody = users.sign_in(wrong(&unknown())).await.unwrap_err();

    refused(&known, Code::Unauthenticated, "SIGN_IN_REFUSED", &BOTH);
    assert_eq!(known.message(), nobody.message());
    assert_eq!(known.details(), nobody.details());
    for email in [ada.email, unknown()] {
        let request = RequestPasswordResetRequest { request_id: uuid(), email };
        users.accounts.clone().request_password_reset(request).await.unwrap();
    }
}

/// How often, of all pairs of one sample and another, the first took longer: the statistic of Mann and
/// Whitney. It asks for no unit of time, so a slow machine is as good as a quick one.
fn slower(these: &[Duration], those: &[Duration]) -> f64 {
    let longer = these.iter().map(|this| those.iter().filter(|that| this > *that).count());
    let (longer, pairs) = (longer.sum::<usize>(), these.len() * those.len());
    f64::from(u32::try_from(longer).unwrap()) / f64::from(u32::try_from(pairs).unwrap())
}

fn quartiles(samples: &[Duration]) -> [Duration; 3] {
    let mut sorted = samples.to_vec();
    sorted.sort();
    [1, 2, 3].map(|quarter| sorted[sorted.len() * quarter / 4])
}

/// Measures the kinds of `ask` in turn, each as often first, so that whatever else the machine does
/// slows all of them; then asserts that no two differ.
async fn take_the_same_time<const N: usize>(kinds: [&str; N], mut ask: impl AsyncFnMut(&str)) {
    let mut samples = kinds.map(|_| Vec::new());
    for round in 0..SAMPLES {
        for n in 0..N {
            let at = (n + round) % N;
            let begun = Instant::now();
            ask(kinds[at]).await;
            samples[at].push(begun.elapsed());
        }
    }

    for (kind, samples) in kinds.iter().zip(&samples) {
        println!("{kind}: quartiles {:?}", quartiles(samples));
    }
    for one in 0..N {
        for other in 0..one {
            let share = slower(&samples[one], &samples[other]);
            let (one, other) = (kinds[one], kinds[other]);
            println!("{one} is slower than {other}: {share:.2} of all pairs");
            assert!(EVEN.contains(&share), "{one} is slower than {other}: {share:.2} of all pairs");
        }
    }
}

/// Somebody whose account is deactivated.
async fn gone(users: &Users) -> String {
    let grace = users.person().await;
    let request =
        DeactivateUserRequest { request_id: uuid(), user_id: grace.user_id, ..Default::default() };
    users.accounts.clone().deactivate_user(request).await.unwrap();
    grace.email
}

#[tokio::test]
async fn how_long_a_refused_sign_in_takes_does_not_tell_whether_there_is_an_account() {
    let users = Users::start_with(patient).await;
    let (known, deactivated, nobody) = (users.person().await.email, gone(&users).await, unknown());

    take_the_same_time([&known, &deactivated, &nobody], async |email| {
        let status = users.sign_in(wrong(email)).await.unwrap_err();
        refused(&status, Code::Unauthenticated, "SIGN_IN_REFUSED", &BOTH);
    })
    .await;
}

#[tokio::test]
async fn an_asked_for_reset_is_answered_no_sooner_where_there_is_no_account() {
    let users = Users::start_with(patient).await;
    let all = [users.person().await.email, gone(&users).await, unknown()];

    for email in all {
        let (request_id, begun) = (uuid(), Instant::now());
        let request = RequestPasswordResetRequest { request_id, email };
        users.accounts.clone().request_password_reset(request).await.unwrap();
        // What is done for an account alone is done within it.
        assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn guessing_at_one_account_is_slowed_also_where_there_is_none() {
    let users = Users::start().await;
    let other = users.another().await;
    let (ada, grace) = (users.person().await, users.person().await);

    for email in [ada.email.clone(), unknown()] {
        let mut wait = None;
        for n in 0..5 {
            let replica = if n % 2 == 0 { &users } else { &other };
            let status = replica.sign_in(wrong(&email)).await.unwrap_err();
            refused(&status, Code::Unauthenticated, "SIGN_IN_REFUSED", &BOTH);
        }
        for _ in 0..2 {
            let status = users.sign_in(wrong(&email)).await.unwrap_err();
            refused(&status, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS", &BOTH);
            wait = status.get_details_retry_info().and_then(|info| info.retry_delay);
        }
        let wait = wait.expect("the answer says when to try again");
        assert!((1..=2).contains(&wait.as_secs()), "{wait:?}");
    }
    let status = users.sign_in(sign_in(&ada.email)).await.unwrap_err();
    refused(&status, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS", &BOTH);
    assert!(users.sign_in(sign_in(&grace.email)).await.is_ok(), "others are not slowed");

    users.run("UPDATE attempts SET blocked_until = blocked_until - interval '2 seconds'").await;
    assert!(users.sign_in(sign_in(&ada.email)).await.is_ok());
    for _ in 0..4 {
        let status = users.sign_in(wrong(&ada.email)).await.unwrap_err();
        refused(&status, Code::Unauthenticated, "SIGN_IN_REFUSED", &BOTH);
    }
}

#[tokio::test]
async fn the_wait_doubles_and_ends_with_a_quarter_of_an_hour_of_quiet() {
    let users = Users::start().await;
    let email = unknown();
    for _ in 0..5 {
        users.sign_in(wrong(&email)).await.unwrap_err();
    }
    for expected in [2, 4, 8, 16] {
        let status = users.sign_in(wrong(&email)).await.unwrap_err();
        let wait = status.get_details_retry_info().unwrap().retry_delay.unwrap();
        assert!((expected - 1..=expected).contains(&wait.as_secs()), "{wait:?}, not {expected} s");
        users.run("UPDATE attempts SET blocked_until = last_at").await;
        users.sign_in(wrong(&email)).await.unwrap_err();
    }

    users.run("UPDATE attempts SET blocked_until = last_at - interval '16 minutes', last_at = last_at - interval '16 minutes'").await;
    for _ in 0..5 {
        let status = users.sign_in(wrong(&email)).await.unwrap_err();
        refused(&status, Code::Unauthenticated, "SIGN_IN_REFUSED", &BOTH);
    }
}

#[tokio::test]
async fn guessing_at_many_accounts_is_slowed_by_address_and_ones_own_sign_ins_are_no_way_out() {
    let few = |config| Config { free_attempts_per_address: 6, ..config };
    let users = Users::start_with(few).await;
    let ada = users.person().await;

    for _ in 0..3 {
        users.session(&ada).await;
    }
    for n in 0..6 {
        let status = users.sign_in(wrong(&unknown())).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{n}");
        if n < 5 {
            users.session(&ada).await;
        }
    }

    let status = users.sign_in(wrong(&unknown())).await.unwrap_err();
    refused(&status, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS", &BOTH);
    let status = users.sign_in(sign_in(&ada.email)).await.unwrap_err();
    refused(&status, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS", &BOTH);
}

#[tokio::test]
async fn guesses_at_the_same_time_are_counted_too() {
    let users = Users::start().await;
    let ada = users.person().await;

    let begun = Instant::now();
    let guesses = (0..30).map(|_| users.sign_in(wrong(&ada.email)));
    let answers = futures::future::join_all(guesses).await;

    let made = answers.iter().map(|answer| answer.as_ref().unwrap_err().code());
    let made = made.filter(|code| *code == Code::Unauthenticated).count();
    // On a slow machine the first wait may end meanwhile.
    let waits = usize::try_from(begun.elapsed().as_secs() / 2).unwrap();
    assert!(made <= 5 + waits, "{made} guesses were made, {waits} waits ended");
}
