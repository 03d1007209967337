//! Roles: granted, revoked, and what tokens say of them.

use std::collections::BTreeSet;

use mesh_policy::Table;
use shop::users::v1::{ListRoleGrantsRequest, ListRolesRequest, RoleGrant};
use tonic::Code;

use crate::support::{Users, refused, sign_in, uuid};

/// Of whoever delivers mails with tokens.
const MAILS: &str = "mails.deliver";

async fn grants(users: &Users, user_id: &str) -> Vec<RoleGrant> {
    let request = ListRoleGrantsRequest { user_id: user_id.to_owned() };
    users.roles.clone().list_role_grants(request).await.unwrap().into_inner().grants
}

#[tokio::test]
async fn the_next_token_carries_what_a_role_permits_until_the_role_is_revoked() {
    let users = Users::start().await;
    let ada = users.person().await;
    let first = users.session(&ada).await.tokens.unwrap();
    assert_eq!(users.shown(&first.access_token).await.unwrap().permissions().count(), 0);

    users.grant(&ada.user_id, "merchant").await.unwrap();
    users.grant(&ada.user_id, "merchant").await.unwrap();

    let second = users.refresh(&first.refresh_token).await.unwrap().tokens.unwrap();
    let shown = users.shown(&second.access_token).await.unwrap();
    assert_eq!(shown.roles().collect::<Vec<_>>(), ["merchant"]);
    assert_eq!(shown.permissions().collect::<Vec<_>>(), ["catalog.manage", "stock.manage"]);
    let grant = RoleGrant { user_id: ada.user_id.clone(), role: "merchant".to_owned() };
    assert_eq!(grants(&users, &ada.user_id).await, [grant]);

    for _ in 0..2 {
        users.revoke(&ada.user_id, "merchant").await.unwrap();
    }

    assert_eq!(grants(&users, &ada.user_id).await, []);
    let third = users.refresh(&second.refresh_token).await.unwrap().tokens.unwrap();
    let after = users.shown(&third.access_token).await.unwrap();
    assert_eq!(after.roles().count() + after.permissions().count(), 0);
    // What every verifier is told ends the tokens of before, and not this one.
    let revoked = revoked(&users).await;
    assert!(shown.issued() <= revoked && after.issued() > revoked);
    let told = ["UserRegistered", "RoleGranted", "RoleRevoked"];
    assert_eq!(users.events(&ada.user_id).await, told);
}

/// Until when what an account was given is revoked, as every verifier reads it: to the second.
async fn revoked(users: &Users) -> time::OffsetDateTime {
    let last = "SELECT max(revoked_at) FROM revocations WHERE kind = 'SUBJECT'";
    let last: time::OffsetDateTime = sqlx::query_scalar(last).fetch_one(&users.pool).await.unwrap();
    last.replace_nanosecond(0).unwrap()
}

/// However quickly one follows the other, and however quickly a token is asked for in between.
#[tokio::test]
async fn of_roles_that_are_taken_one_after_the_other_none_lives_on_in_a_token() {
    let users = Users::start().await;
    let ada = users.person().await;
    let mut tokens = users.session(&ada).await.tokens.unwrap();
    for role in ["merchant", "support"] {
        users.grant(&ada.user_id, role).await.unwrap();
    }

    for (role, left) in [("merchant", 1), ("support", 0)] {
        let before = users.shown(&tokens.access_token).await.unwrap();
        users.revoke(&ada.user_id, role).await.unwrap();
        assert!(before.issued() <= revoked(&users).await, "what carries {role} has ended");

        tokens = users.refresh(&tokens.refresh_token).await.unwrap().tokens.unwrap();
        let shown = users.shown(&tokens.access_token).await.unwrap();
        assert_eq!(shown.roles().count(), left);
        assert!(shown.issued() > revoked(&users).await, "what does not is good");
    }
}

#[tokio::test]
async fn a_sign_in_that_is_sent_again_begins_no_token_anew_once_the_session_has_ended() {
    let users = Users::start().await;
    let ada = users.person().await;
    users.grant(&ada.user_id, "merchant").await.unwrap();
    let request = sign_in(&ada.email);
    let signed = users.sign_in(request.clone()).await.unwrap();
    users.sign_out(&ada.user_id, &signed.session.unwrap().session_id).await.unwrap();
    users.revoke(&ada.user_id, "merchant").await.unwrap();

    let again = users.sign_in(request).await.unwrap().tokens.unwrap();

    let shown = users.shown(&again.access_token).await.unwrap();
    assert!(shown.issued() <= revoked(&users).await, "it ends when the first would have");
}

#[tokio::test]
async fn an_administrator_may_do_everything_but_read_the_mails_of_others() {
    let users = Users::start().await;
    let ada = users.person().await;
    let known = users.roles.clone().list_roles(ListRolesRequest {}).await.unwrap().into_inner();
    let names: Vec<_> = known.permissions.iter().map(|it| it.permission.clone()).collect();

    users.grant(&ada.user_id, "administrator").await.unwrap();

    let tokens = users.session(&ada).await.tokens.unwrap();
    let shown = users.shown(&tokens.access_token).await.unwrap();
    assert!(names.iter().all(|name| shown.has_permission(name) == (name != MAILS)));
    // Those that contracts ask for, and that of operators, which no contract names.
    let table = Table::from_descriptors(&[shop::DESCRIPTORS, mesh_proto::DESCRIPTORS]).unwrap();
    let asked = table.methods().flat_map(|method| &method.access.permissions);
    let mut asked: BTreeSet<_> = asked.map(ToString::to_string).collect();
    asked.insert("operator".to_owned());
    assert_eq!(names.iter().cloned().collect::<BTreeSet<_>>(), asked);
    let administrator = known.roles.iter().find(|role| role.role == "administrator").unwrap();
    let most: Vec<_> = names.into_iter().filter(|name| name != MAILS).collect();
    assert_eq!(administrator.permissions, most);
}

#[tokio::test]
async fn roles_and_persons_that_there_are_not_are_named() {
    let users = Users::start().await;
    let ada = users.person().await;

    let status = users.grant(&ada.user_id, "king").await.unwrap_err();
    refused(&status, Code::NotFound, "ROLE_NOT_FOUND", &["role"]);
    let status = users.grant(&uuid(), "support").await.unwrap_err();
    refused(&status, Code::NotFound, "USER_NOT_FOUND", &["user_id"]);
}
