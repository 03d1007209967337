//! Sessions: begun once, refreshed with rotation, ended here and everywhere.

use shop::users::v1::{
    ListSessionsRequest, Session, SignInRequest, SignOutEverywhereRequest, SignOutRequest,
};
use tonic::Code;

use crate::support::{Users, refused, sign_in, uuid};

async fn list(users: &Users, user_id: &str) -> Vec<Session> {
    let request = ListSessionsRequest { user_id: user_id.to_owned(), ..Default::default() };
    users.sessions.clone().list_sessions(request).await.unwrap().into_inner().sessions
}

#[tokio::test]
async fn who_signs_in_shows_tokens_that_every_service_verifies() {
    let users = Users::start().await;
    let ada = users.person().await;

    let signed = users.session(&ada).await;

    let (session, tokens) = (signed.session.unwrap(), signed.tokens.unwrap());
    let shown = users.shown(&tokens.access_token).await.unwrap();
    assert_eq!(shown.subject().to_string(), ada.user_id);
    assert_eq!(shown.session().to_string(), session.session_id);
    assert_eq!(shown.roles().count() + shown.permissions().count(), 0);
    assert_eq!(
        (session.user_id.as_str(), session.device.as_str()),
        (ada.user_id.as_str(), "a browser")
    );
    assert_eq!(list(&users, &ada.user_id).await, [session]);
}

#[tokio::test]
async fn a_sign_in_begins_one_session_however_often_it_is_sent() {
    let users = Users::start().await;
    let other = users.another().await;
    let ada = users.person().await;
    let request = sign_in(&ada.email);

    let (one, two) = tokio::join!(users.sign_in(request.clone()), other.sign_in(request.clone()));
    let one = one.unwrap();
    assert_eq!(one, two.unwrap());
    users.refresh(&one.tokens.as_ref().unwrap().refresh_token).await.unwrap();

    assert_eq!(users.sign_in(request.clone()).await.unwrap(), one, "the first outcome again");
    assert_eq!(list(&users, &ada.user_id).await.len(), 1);
    let device = "another".to_owned();
    let status = users.sign_in(SignInRequest { device, ..request.clone() }).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "REQUEST_CONTENT_DIFFERS", &["request_id"]);
    let grace = users.person().await;
    let email = grace.email.clone();
    let hers = users.sign_in(SignInRequest { email, ..request }).await.unwrap();
    assert_ne!(hers.session, one.session, "ids of others' requests mean nothing");
}

#[tokio::test]
async fn a_refresh_token_gives_the_same_successor_for_a_while_on_every_replica() {
    let users = Users::start().await;
    let other = users.another().await;
    let ada = users.person().await;
    let first = users.session(&ada).await.tokens.unwrap();

    let (one, two) =
        tokio::join!(users.refresh(&first.refresh_token), other.refresh(&first.refresh_token));
    let (one, two) = (one.unwrap(), two.unwrap());

    assert_eq!(one, two);
    let next = one.tokens.unwrap();
    assert_ne!(next.refresh_token, first.refresh_token);
    let shown = users.shown(&next.access_token).await.unwrap();
    assert_eq!(shown.subject().to_string(), ada.user_id);
    assert!(users.refresh(&next.refresh_token).await.is_ok());
}

#[tokio::test]
async fn a_refresh_token_that_is_used_again_later_ends_the_session() {
    let users = Users::start().await;
    let ada = users.person().await;
    let first = users.session(&ada).await.tokens.unwrap();
    let next = users.refresh(&first.refresh_token).await.unwrap().tokens.unwrap();
    users.run("UPDATE sessions SET refreshed_at = refreshed_at - interval '11 seconds'").await;

    let status = users.refresh(&first.refresh_token).await.unwrap_err();
    refused(&status, Code::Unauthenticated, "REFRESH_TOKEN_REUSED", &["refresh_token"]);

    let status = users.refresh(&next.refresh_token).await.unwrap_err();
    refused(&status, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED", &["refresh_token"]);
    assert_eq!(list(&users, &ada.user_id).await, []);
    assert_eq!(users.events(&ada.user_id).await, ["UserRegistered", "SessionRevoked"]);
    assert!(users.sign_in(sign_in(&ada.email)).await.is_ok(), "the account goes on");
}

#[tokio::test]
async fn what_is_no_refresh_token_of_ours_refreshes_nothing() {
    let (users, strangers) = (Users::start().await, Users::start().await);
    let ada = users.person().await;
    let grace = strangers.person().await;
    let good = users.session(&ada).await.tokens.unwrap();
    let foreign = strangers.session(&grace).await.tokens.unwrap().refresh_token;

    for token in ["x", &good.access_token[..100], &foreign] {
        let status = users.refresh(token).await.unwrap_err();
        refused(&status, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED", &["refresh_token"]);
    }
    assert!(users.refresh(&good.refresh_token).await.is_ok());
}

#[tokio::test]
async fn a_session_that_nobody_refreshes_for_a_month_has_ended() {
    let users = Users::start().await;
    let ada = users.person().await;
    let tokens = users.session(&ada).await.tokens.unwrap();
    users.run("UPDATE sessions SET refreshed_at = refreshed_at - interval '30 days'").await;

    let status = users.refresh(&tokens.refresh_token).await.unwrap_err();

    refused(&status, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED", &["refresh_token"]);
    assert_eq!(list(&users, &ada.user_id).await, []);
}

#[tokio::test]
async fn signing_out_ends_this_session_and_only_ones_own() {
    let users = Users::start().await;
    let (ada, grace) = (users.person().await, users.person().await);
    let (here, there) = (users.session(&ada).await, users.session(&ada).await);
    let id = here.session.unwrap().session_id;
    let request =
        SignOutRequest { request_id: uuid(), user_id: ada.user_id.clone(), session_id: id.clone() };

    let status = users.sign_out(&grace.user_id, &id).await.unwrap_err();
    refused(&status, Code::NotFound, "SESSION_NOT_FOUND", &["session_id"]);
    for _ in 0..2 {
        users.sessions.clone().sign_out(request.clone()).await.unwrap();
    }
    users.sign_out(&ada.user_id, &id).await.unwrap();

    assert_eq!(list(&users, &ada.user_id).await, [there.session.unwrap()]);
    let status = users.refresh(&here.tokens.unwrap().refresh_token).await.unwrap_err();
    refused(&status, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED", &["refresh_token"]);
    assert!(users.refresh(&there.tokens.unwrap().refresh_token).await.is_ok());
    assert_eq!(users.events(&ada.user_id).await, ["UserRegistered", "SessionRevoked"]);
}

#[tokio::test]
async fn signing_out_everywhere_ends_all_sessions_of_the_person() {
    let users = Users::start().await;
    let (ada, grace) = (users.person().await, users.person().await);
    for user in [&ada, &ada, &grace] {
        users.session(user).await;
    }
    let request = SignOutEverywhereRequest { request_id: uuid(), user_id: ada.user_id.clone() };

    for _ in 0..2 {
        users.sessions.clone().sign_out_everywhere(request.clone()).await.unwrap();
    }

    assert_eq!(list(&users, &ada.user_id).await, []);
    assert_eq!(list(&users, &grace.user_id).await.len(), 1);
    let told = ["UserRegistered", "SessionRevoked", "SessionRevoked"];
    assert_eq!(users.events(&ada.user_id).await, told);
    let nobody = SignOutEverywhereRequest { request_id: uuid(), user_id: uuid() };
    let status = users.sessions.clone().sign_out_everywhere(nobody).await.unwrap_err();
    refused(&status, Code::NotFound, "USER_NOT_FOUND", &["user_id"]);
}
