//! Mails with tokens: announced, given to whoever delivers, good once.

use shop::users::v1::{
    ChangePasswordRequest, ConfirmEmailVerificationRequest, ConfirmPasswordResetRequest, MailKind,
    RequestEmailVerificationRequest, RequestPasswordResetRequest,
};
use tonic::{Code, Status};

use crate::support::{Users, refused, sign_in, uuid};

async fn request_reset(users: &Users, email: &str) -> String {
    let request = RequestPasswordResetRequest { request_id: uuid(), email: email.to_owned() };
    for _ in 0..2 {
        users.accounts.clone().request_password_reset(request.clone()).await.unwrap();
    }
    request.request_id
}

async fn confirm_reset(users: &Users, token: &str) -> Result<(), Status> {
    let (token, new_password) = (token.to_owned(), "battery staple correct".to_owned());
    let request = ConfirmPasswordResetRequest { request_id: uuid(), token, new_password };
    users.accounts.clone().confirm_password_reset(request).await.map(drop)
}

#[tokio::test]
async fn who_reads_the_mail_sets_a_new_password_once() {
    let users = Users::start().await;
    let ada = users.person().await;
    let signed = users.session(&ada).await;

    let mail = users.mail(&request_reset(&users, &ada.email).await).await.unwrap();
    assert_eq!((mail.kind(), &mail.email), (MailKind::PasswordReset, &ada.email));
    assert_eq!((&mail.user_id, &mail.name), (&ada.user_id, &ada.name));
    confirm_reset(&users, &mail.token).await.unwrap();

    let status = confirm_reset(&users, &mail.token).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "MAIL_TOKEN_REFUSED", &["token"]);
    let status = users.mail(&mail.mail_id).await.unwrap_err();
    refused(&status, Code::NotFound, "MAIL_NOT_FOUND", &["mail_id"]);
    let status = users.sign_in(sign_in(&ada.email)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "the old password");
    let mut request = sign_in(&ada.email);
    request.password = "battery staple correct".to_owned();
    assert!(users.sign_in(request).await.is_ok());
    let status = users.refresh(&signed.tokens.unwrap().refresh_token).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "sessions of before have ended");
    let told = ["UserRegistered", "PasswordResetRequested", "PasswordChanged", "SessionRevoked"];
    assert_eq!(users.events(&ada.user_id).await, told);
}

#[tokio::test]
async fn only_the_latest_token_is_good_and_only_for_an_hour() {
    let users = Users::start().await;
    let ada = users.person().await;
    let first = users.mail(&request_reset(&users, &ada.email).await).await.unwrap();
    let second = users.mail(&request_reset(&users, &ada.email).await).await.unwrap();

    let status = confirm_reset(&users, &first.token).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "MAIL_TOKEN_REFUSED", &["token"]);
    users.run("UPDATE mails SET expires_at = expires_at - interval '1 hour'").await;
    let status = confirm_reset(&users, &second.token).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "MAIL_TOKEN_REFUSED", &["token"]);
    let status = confirm_reset(&users, "no such thing").await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "MAIL_TOKEN_REFUSED", &["token"]);
}

#[tokio::test]
async fn another_password_ends_what_a_mail_allowed_about_the_last_one() {
    let users = Users::start().await;
    let ada = users.person().await;
    let mail = users.mail(&request_reset(&users, &ada.email).await).await.unwrap();
    let change = ChangePasswordRequest {
        request_id: uuid(),
        user_id: ada.user_id,
        current_password: sign_in(&ada.email).password,
        new_password: "another one of hers".to_owned(),
        keep_session_id: String::new(),
    };
    users.accounts.clone().change_password(change).await.unwrap();

    let status = confirm_reset(&users, &mail.token).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "MAIL_TOKEN_REFUSED", &["token"]);
}

/// The id of a mail that there is already tells nobody whether another one would have been made.
#[tokio::test]
async fn one_request_id_asks_for_one_mail_whoever_has_an_account() {
    let users = Users::start().await;
    let (ada, eve) = (users.person().await, users.person().await);
    let request = RequestEmailVerificationRequest { request_id: uuid(), user_id: eve.user_id };
    users.accounts.clone().request_email_verification(request.clone()).await.unwrap();

    for email in [ada.email, "nobody@example.com".to_owned()] {
        let reset = RequestPasswordResetRequest { request_id: request.request_id.clone(), email };
        let status = users.accounts.clone().request_password_reset(reset).await.unwrap_err();
        refused(&status, Code::FailedPrecondition, "REQUEST_CONTENT_DIFFERS", &["request_id"]);
    }
}

#[tokio::test]
async fn nobody_gets_a_mail_for_an_address_without_an_account() {
    let users = Users::start().await;
    let mail = request_reset(&users, "nobody@example.com").await;

    let status = users.mail(&mail).await.unwrap_err();
    refused(&status, Code::NotFound, "MAIL_NOT_FOUND", &["mail_id"]);
    let log: i64 =
        sqlx::query_scalar("SELECT count(*) FROM log").fetch_one(&users.pool).await.unwrap();
    assert_eq!(log, 0);
}

#[tokio::test]
async fn mails_to_one_address_are_few() {
    let users = Users::start().await;
    let ada = users.person().await;
    for _ in 0..5 {
        let request = RequestPasswordResetRequest { request_id: uuid(), email: ada.email.clone() };
        users.accounts.clone().request_password_reset(request).await.unwrap();
    }

    let request = RequestPasswordResetRequest { request_id: uuid(), email: ada.email };
    let status = users.accounts.clone().request_password_reset(request).await.unwrap_err();
    refused(&status, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS", &["email"]);
}

#[tokio::test]
async fn who_reads_the_mail_confirms_the_address() {
    let users = Users::start().await;
    let ada = users.person().await;
    let request =
        RequestEmailVerificationRequest { request_id: uuid(), user_id: ada.user_id.clone() };
    for _ in 0..2 {
        users.accounts.clone().request_email_verification(request.clone()).await.unwrap();
    }
    let mail = users.mail(&request.request_id).await.unwrap();
    assert_eq!(mail.kind(), MailKind::EmailVerification);
    let status = confirm_reset(&users, &mail.token).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "MAIL_TOKEN_REFUSED", &["token"]);

    let confirm = ConfirmEmailVerificationRequest { request_id: uuid(), token: mail.token };
    for _ in 0..2 {
        users.accounts.clone().confirm_email_verification(confirm.clone()).await.unwrap();
    }

    let after = users.get(&ada.user_id).await.unwrap();
    assert!(after.email_verified && after.etag != ada.etag);
    let again = RequestEmailVerificationRequest { request_id: uuid(), ..request };
    users.accounts.clone().request_email_verification(again.clone()).await.unwrap();
    assert!(users.mail(&again.request_id).await.is_err(), "there is nothing to confirm");
    let told = ["UserRegistered", "EmailVerificationRequested", "EmailVerified"];
    assert_eq!(users.events(&ada.user_id).await, told);
}
