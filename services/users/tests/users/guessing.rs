//! Guessing: slowed per account and per address, and no answer says whether there is an account.

use std::time::{Duration, Instant};

use shop::users::v1::{RequestPasswordResetRequest, SignInRequest};
use tonic::Code;
use tonic_types::StatusExt as _;
use users::Config;

use crate::support::{Users, refused, sign_in, uuid};

const BOTH: [&str; 2] = ["email", "password"];
/// How often each kind of attempt is measured.
const SAMPLES: usize = 40;

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

/// The middle of a distribution, and the spread of its middle half.
fn middle(mut samples: Vec<Duration>) -> (Duration, Duration) {
    samples.sort();
    let at = |quarter: usize| samples[samples.len() * quarter / 4];
    (at(2), at(3) - at(1))
}

#[tokio::test]
async fn an_unknown_account_and_a_wrong_password_take_the_same_time() {
    let users = Users::start_with(patient).await;
    let ada = users.person().await;
    let (mut known, mut nobody) = (Vec::new(), Vec::new());
    // In turn, so that whatever else the machine does slows both.
    for _ in 0..SAMPLES {
        for (email, samples) in [(ada.email.clone(), &mut known), (unknown(), &mut nobody)] {
            let begun = Instant::now();
            users.sign_in(wrong(&email)).await.unwrap_err();
            samples.push(begun.elapsed());
        }
    }

    let ((known, spread), (nobody, other)) = (middle(known), middle(nobody));
    println!("a wrong password {known:?} (±{spread:?}), nobody's {nobody:?} (±{other:?})");

    // Whoever skips the hash answers in a tenth of the time.
    let apart = known.abs_diff(nobody);
    assert!(apart < known / 4 + spread.max(other), "{known:?} and {nobody:?}");
    assert!(nobody > known / 2 && known > nobody / 2, "{known:?} and {nobody:?}");
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
