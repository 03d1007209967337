//! What is revoked here is refused everywhere: with a real broker.

use std::time::{Duration, Instant};

use mesh_auth::Refused;
use mesh_testkit::{eventually, isolated_nats};

use crate::{
    elsewhere::{Elsewhere, with_broker},
    support::Users,
};

/// The bound of the promise.
const SOON: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_session_that_was_signed_out_is_refused_elsewhere_within_a_second() {
    let broker = isolated_nats().await;
    let users = Users::start_with(with_broker(broker.url())).await;
    let ada = users.person().await;
    let (here, there) = (users.session(&ada).await, users.session(&ada).await);
    let elsewhere = Elsewhere::start(&users, &broker.url()).await;
    let (here_token, there_token) =
        (here.tokens.unwrap().access_token, there.tokens.unwrap().access_token);
    assert_eq!((elsewhere.refuses(&here_token), elsewhere.refuses(&there_token)), (None, None));

    users.sign_out(&ada.user_id, &here.session.unwrap().session_id).await.unwrap();
    let begun = Instant::now();
    elsewhere.hears(&here_token, Refused::Revoked).await;

    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(elsewhere.refuses(&there_token), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_with_a_role_that_was_revoked_are_refused_and_the_next_one_is_not() {
    let broker = isolated_nats().await;
    let users = Users::start_with(with_broker(broker.url())).await;
    let ada = users.person().await;
    users.grant(&ada.user_id, "support").await.unwrap();
    let tokens = users.session(&ada).await.tokens.unwrap();
    let elsewhere = Elsewhere::start(&users, &broker.url()).await;
    assert_eq!(elsewhere.refuses(&tokens.access_token), None);

    users.revoke(&ada.user_id, "support").await.unwrap();

    elsewhere.hears(&tokens.access_token, Refused::Revoked).await;
    let next = users.refresh(&tokens.refresh_token).await.unwrap().tokens.unwrap();
    assert_eq!(elsewhere.refuses(&next.access_token), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_while_the_broker_is_away_is_heard_when_it_is_back() {
    let broker = isolated_nats().await;
    let users = Users::start_with(with_broker(broker.url())).await;
    let ada = users.person().await;
    let signed = users.session(&ada).await;
    let token = signed.tokens.unwrap().access_token;
    let elsewhere = Elsewhere::start(&users, &broker.url()).await;

    broker.down().await;
    users.sign_out(&ada.user_id, &signed.session.unwrap().session_id).await.unwrap();
    let revocations = elsewhere.verifier.revocations();
    eventually("it to be noticed", async || revocations.is_lost()).await;
    assert_eq!(elsewhere.refuses(&token), None, "the rule while nobody knows");

    broker.up().await;
    elsewhere.hears(&token, Refused::Revoked).await;
}
