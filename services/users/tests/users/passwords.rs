//! Other passwords, and what no table, event or answer holds of any.

use shop::users::v1::ChangePasswordRequest;
use sqlx::AssertSqlSafe;
use tonic::{Code, Status};

use crate::support::{PASSWORD, Users, person, refused, sign_in, uuid};

const NEW: &str = "battery staple correct";

async fn change(users: &Users, request: ChangePasswordRequest) -> Result<(), Status> {
    users.accounts.clone().change_password(request).await.map(drop)
}

fn request(user_id: &str) -> ChangePasswordRequest {
    ChangePasswordRequest {
        request_id: uuid(),
        user_id: user_id.to_owned(),
        current_password: PASSWORD.to_owned(),
        new_password: NEW.to_owned(),
        keep_session_id: String::new(),
    }
}

#[tokio::test]
async fn a_change_ends_every_session_but_the_one_that_is_kept() {
    let users = Users::start().await;
    let ada = users.person().await;
    let (here, there) = (users.session(&ada).await, users.session(&ada).await);
    let keep_session_id = here.session.unwrap().session_id;
    let request = ChangePasswordRequest { keep_session_id, ..request(&ada.user_id) };

    for _ in 0..2 {
        change(&users, request.clone()).await.unwrap();
    }

    assert!(users.refresh(&here.tokens.unwrap().refresh_token).await.is_ok());
    let status = users.refresh(&there.tokens.unwrap().refresh_token).await.unwrap_err();
    refused(&status, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED", &["refresh_token"]);
    assert!(users.sign_in(sign_in(&ada.email)).await.is_err());
    let mut with_new = sign_in(&ada.email);
    with_new.password = NEW.to_owned();
    assert!(users.sign_in(with_new).await.is_ok());
    let told = ["UserRegistered", "PasswordChanged", "SessionRevoked"];
    assert_eq!(users.events(&ada.user_id).await, told);
}

#[tokio::test]
async fn a_change_needs_the_current_password_and_guesses_are_slowed() {
    let users = Users::start().await;
    let ada = users.person().await;
    let wrong = || ChangePasswordRequest {
        current_password: "wrong horse battery".to_owned(),
        ..request(&ada.user_id)
    };

    for _ in 0..5 {
        let status = change(&users, wrong()).await.unwrap_err();
        refused(&status, Code::FailedPrecondition, "PASSWORD_WRONG", &["current_password"]);
    }

    let status = change(&users, request(&ada.user_id)).await.unwrap_err();
    refused(&status, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS", &["current_password"]);
    let status = change(&users, request(&uuid())).await.unwrap_err();
    refused(&status, Code::NotFound, "USER_NOT_FOUND", &["user_id"]);
}

#[tokio::test]
async fn of_two_changes_at_once_one_finds_the_password_changed() {
    let users = Users::start().await;
    let ada = users.person().await;

    let (one, two) =
        tokio::join!(change(&users, request(&ada.user_id)), change(&users, request(&ada.user_id)));

    let outcomes = [one, two];
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    let status = outcomes.into_iter().find_map(Result::err).unwrap();
    refused(&status, Code::FailedPrecondition, "PASSWORD_WRONG", &["current_password"]);
}

#[tokio::test]
async fn no_table_holds_a_password_or_a_token_and_no_event_anything_personal() {
    let users = Users::start().await;
    let ada = users.register(person()).await.unwrap();
    let tokens = users.session(&ada).await.tokens.unwrap();
    users.refresh(&tokens.refresh_token).await.unwrap();
    change(&users, request(&ada.user_id)).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()",
    )
    .fetch_all(&users.pool)
    .await
    .unwrap();
    assert!(tables.len() > 15, "{tables:?}");

    let mut personal = Vec::new();
    for table in tables {
        let rows = AssertSqlSafe(format!("SELECT t::text FROM {table} t"));
        let rows: Vec<String> = sqlx::query_scalar(rows).fetch_all(&users.pool).await.unwrap();
        let holds = |text: &str| {
            let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            rows.iter().any(|row| row.contains(text) || row.contains(&hex))
        };
        for secret in [PASSWORD, NEW, &tokens.access_token, &tokens.refresh_token] {
            assert!(!holds(secret), "{table} holds a secret");
        }
        if holds(&ada.email) || holds(&ada.name) {
            personal.push(table);
        }
    }
    assert_eq!(personal, ["users"], "what is personal is in one place");
}
