//! Accounts: registered once, changed by mask and etag, listed, deactivated.

use prost_types::FieldMask;
use shop::users::v1::{
    DeactivateUserRequest, ListUsersRequest, Preferences, RegisterUserRequest,
    UpdatePreferencesRequest, UpdateProfileRequest, User, UserState,
};
use tonic::{Code, Status};

use crate::support::{Users, person, refused, sign_in, uuid};

async fn update(users: &Users, request: UpdateProfileRequest) -> Result<User, Status> {
    let answer = users.accounts.clone().update_profile(request).await?;
    Ok(answer.into_inner().user.unwrap())
}

fn rename(user: &User, name: &str) -> UpdateProfileRequest {
    let (user_id, name) = (user.user_id.clone(), name.to_owned());
    UpdateProfileRequest { request_id: uuid(), user_id, name, ..Default::default() }
}

fn deactivate(user: &User) -> DeactivateUserRequest {
    let (user_id, etag) = (user.user_id.clone(), user.etag.clone());
    DeactivateUserRequest { request_id: uuid(), user_id, etag }
}

#[tokio::test]
async fn an_account_is_made_once_however_often_it_is_asked_for() {
    let users = Users::start().await;
    let request = person();

    let (one, two) = tokio::join!(users.register(request.clone()), users.register(request.clone()));
    let (one, two) = (one.unwrap(), two.unwrap());

    assert_eq!(one, two);
    assert_eq!((&one.user_id, &one.name), (&request.request_id, &request.name));
    assert_eq!((one.state(), one.email_verified), (UserState::Active, false));
    assert_eq!(users.get(&one.user_id).await.unwrap(), one);
    assert_eq!(users.events(&one.user_id).await, ["UserRegistered"]);
    update(&users, rename(&one, "Ada King")).await.unwrap();
    assert_eq!(users.register(request.clone()).await.unwrap(), one, "as it was then");
    let other = RegisterUserRequest { name: "Grace".to_owned(), ..request };
    let status = users.register(other).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "REQUEST_CONTENT_DIFFERS", &["request_id"]);
}

#[tokio::test]
async fn an_address_has_one_account_in_whatever_case() {
    let users = Users::start().await;
    let request = person();
    users.register(request.clone()).await.unwrap();

    let email = request.email.to_uppercase();
    let status = users.register(RegisterUserRequest { email, ..person() }).await.unwrap_err();

    refused(&status, Code::AlreadyExists, "EMAIL_TAKEN", &["email"]);
    assert!(users.sign_in(sign_in(&request.email.to_uppercase())).await.is_ok());
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_its_field() {
    let users = Users::start().await;
    let request = RegisterUserRequest {
        request_id: "1".to_owned(),
        email: "nobody".to_owned(),
        password: "too short".to_owned(),
        name: String::new(),
        language: "no such thing".to_owned(),
    };

    let status = users.register(request).await.unwrap_err();

    let fields = ["request_id", "email", "password", "name", "language"];
    refused(&status, Code::InvalidArgument, "UUID_MALFORMED", &fields);
    let request_id = "ad000000-0000-8000-8000-000000000000".to_owned();
    let status = users.register(RegisterUserRequest { request_id, ..person() }).await.unwrap_err();
    refused(&status, Code::InvalidArgument, "USER_ID_KEPT", &["request_id"]);
    assert!(!format!("{status:?}").contains("too short"), "no answer repeats a password");
}

#[tokio::test]
async fn a_profile_is_changed_by_mask_and_by_the_etag_that_was_seen() {
    let users = Users::start().await;
    let ada = users.person().await;
    let phone = UpdateProfileRequest { phone: "+44 20".to_owned(), ..rename(&ada, "Ada King") };

    let first = update(&users, phone.clone()).await.unwrap();
    assert_eq!((first.name.as_str(), first.phone.as_str()), ("Ada King", "+44 20"));
    assert_ne!(first.etag, ada.etag);
    let mask =
        |paths: &[&str]| FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
    let emptied = UpdateProfileRequest {
        etag: first.etag.clone(),
        update_mask: Some(mask(&["phone"])),
        ..rename(&ada, "ignored")
    };
    let second = update(&users, emptied.clone()).await.unwrap();
    assert_eq!((second.name.as_str(), second.phone.as_str()), ("Ada King", ""));

    assert_eq!(update(&users, phone).await.unwrap(), first, "the first outcome again");
    let stale = UpdateProfileRequest { request_id: uuid(), ..emptied };
    let status = update(&users, stale).await.unwrap_err();
    refused(&status, Code::Aborted, "USER_CHANGED", &["etag"]);
    let unknown = UpdateProfileRequest { update_mask: Some(mask(&["email"])), ..rename(&ada, "") };
    let status = update(&users, unknown).await.unwrap_err();
    refused(&status, Code::InvalidArgument, "PATH_UNKNOWN", &["update_mask.paths[0]"]);
    let same = update(&users, rename(&ada, "Ada King")).await.unwrap();
    assert_eq!(same, second, "nothing was changed");
    let told = ["UserRegistered", "ProfileUpdated", "ProfileUpdated"];
    assert_eq!(users.events(&ada.user_id).await, told);
}

#[tokio::test]
async fn preferences_are_changed_apart() {
    let users = Users::start().await;
    let ada = users.person().await;
    let request = UpdatePreferencesRequest {
        request_id: uuid(),
        user_id: ada.user_id.clone(),
        update_mask: Some(FieldMask { paths: vec!["newsletter".to_owned()] }),
        newsletter: true,
        ..Default::default()
    };

    let answer = users.accounts.clone().update_preferences(request).await.unwrap();

    let preferences = answer.into_inner().user.unwrap().preferences.unwrap();
    assert_eq!(preferences, Preferences { language: "en".to_owned(), newsletter: true });
    let everything =
        UpdatePreferencesRequest { request_id: uuid(), user_id: ada.user_id, ..Default::default() };
    let answer = users.accounts.clone().update_preferences(everything).await.unwrap();
    assert_eq!(answer.into_inner().user.unwrap().preferences, Some(Preferences::default()));
}

#[tokio::test]
async fn a_deactivated_account_ends_its_sessions_and_nobody_signs_in() {
    let users = Users::start().await;
    let ada = users.person().await;
    let signed = users.session(&ada).await;
    let request = deactivate(&ada);

    let answer = users.accounts.clone().deactivate_user(request.clone()).await.unwrap();
    let gone = answer.into_inner().user.unwrap();
    assert_eq!(gone.state(), UserState::Deactivated);
    let again = users.accounts.clone().deactivate_user(request).await.unwrap();
    assert_eq!(again.into_inner().user.unwrap(), gone);

    let status = users.sign_in(sign_in(&ada.email)).await.unwrap_err();
    refused(&status, Code::Unauthenticated, "SIGN_IN_REFUSED", &["email", "password"]);
    let status = users.refresh(&signed.tokens.unwrap().refresh_token).await.unwrap_err();
    refused(&status, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED", &["refresh_token"]);
    let status = update(&users, rename(&ada, "Ada King")).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "USER_DEACTIVATED", &["user_id"]);
    let told = ["UserRegistered", "UserDeactivated", "SessionRevoked"];
    assert_eq!(users.events(&ada.user_id).await, told);
}

#[tokio::test]
async fn administrators_page_through_accounts_of_a_state() {
    let users = Users::start().await;
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(users.person().await);
    }
    users.accounts.clone().deactivate_user(deactivate(&all[2])).await.unwrap();
    let mut client = users.accounts.clone();
    let mut list = async |state: UserState, page_token: &str| {
        let (page_size, page_token) = (2, page_token.to_owned());
        let request = ListUsersRequest { page_size, page_token, state: state.into() };
        client.list_users(request).await.map(tonic::Response::into_inner)
    };

    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = list(UserState::Active, &token).await.unwrap();
        found.extend(page.users.into_iter().map(|user| user.user_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        let status = list(UserState::Unspecified, &token).await.unwrap_err();
        refused(&status, Code::InvalidArgument, "PAGE_TOKEN_MALFORMED", &["page_token"]);
    }

    let mut active: Vec<_> = all.iter().map(|user| user.user_id.clone()).collect();
    active.remove(2);
    active.sort();
    assert_eq!(found, active);
    let gone = list(UserState::Deactivated, "").await.unwrap().users;
    assert_eq!(gone.iter().map(|user| &user.user_id).collect::<Vec<_>>(), [&all[2].user_id]);
}

#[tokio::test]
async fn nobody_is_nobody() {
    let users = Users::start().await;
    let status = users.get(&uuid()).await.unwrap_err();
    refused(&status, Code::NotFound, "USER_NOT_FOUND", &["user_id"]);
}
