//! Roles: granted, revoked, and what tokens say of them.

use std::collections::BTreeSet;

use mesh_policy::Table;
use shop::users::v1::{ListRoleGrantsRequest, ListRolesRequest, RevokeRoleRequest, RoleGrant};
use tonic::Code;

use crate::support::{Users, refused, uuid};

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

    let request = RevokeRoleRequest {
        request_id: uuid(),
        user_id: ada.user_id.clone(),
        role: "merchant".to_owned(),
    };
    for _ in 0..2 {
        users.roles.clone().revoke_role(request.clone()).await.unwrap();
    }

    assert_eq!(grants(&users, &ada.user_id).await, []);
    let third = users.refresh(&second.refresh_token).await.unwrap().tokens.unwrap();
    let after = users.shown(&third.access_token).await.unwrap();
    assert_eq!(after.roles().count() + after.permissions().count(), 0);
    // What every verifier is told ends the tokens of before, and not this one.
    let revoked: time::OffsetDateTime =
        sqlx::query_scalar("SELECT revoked_at FROM revocations WHERE kind = 'SUBJECT'")
            .fetch_one(&users.pool)
            .await
            .unwrap();
    let revoked = revoked.replace_nanosecond(0).unwrap();
    assert!(shown.issued() <= revoked && after.issued() > revoked);
    let told = ["UserRegistered", "RoleGranted", "RoleRevoked"];
    assert_eq!(users.events(&ada.user_id).await, told);
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
