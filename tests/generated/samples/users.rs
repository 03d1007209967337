//! Good requests to users.

use serde_json::{Value, json};

use super::{Change, text};
use crate::{
    generated::call::ask,
    shop::{Shop, uuid},
};

const PASSWORD: &str = "correct horse battery";

pub async fn sample(shop: &Shop, method: &str) -> Value {
    let request_id = uuid();
    match method {
        "RegisterUser" => person(&request_id, &address()),
        "ListUsers" => json!({"pageSize": 5, "state": "USER_STATE_ACTIVE"}),
        "ListRoles" | "GetKeys" => json!({}),
        "RequestPasswordReset" => {
            json!({"requestId": request_id, "email": registered(shop).await.email})
        }
        "ConfirmPasswordReset" => json!({
            "requestId": request_id,
            "token": mail(shop, "RequestPasswordReset").await,
            "newPassword": "battery staple correct",
        }),
        "ConfirmEmailVerification" => json!({
            "requestId": request_id,
            "token": mail(shop, "RequestEmailVerification").await,
        }),
        "GetMail" => {
            let email = registered(shop).await.email;
            let reset = json!({"requestId": request_id, "email": email});
            ask(shop, "shop.users.v1.UsersService/RequestPasswordReset", reset).await;
            json!({"mailId": request_id})
        }
        "RefreshSession" => {
            let signed = session(shop).await;
            json!({"refreshToken": text(&signed["tokens"]["refreshToken"])})
        }
        "SignOut" => {
            let session = &session(shop).await["session"];
            json!({
                "requestId": request_id,
                "userId": text(&session["userId"]),
                "sessionId": text(&session["sessionId"]),
            })
        }
        _ => of_person(shop, method, &request_id).await,
    }
}

/// Requests about somebody who is there.
async fn of_person(shop: &Shop, method: &str, request_id: &str) -> Value {
    let Registered { id, email } = registered(shop).await;
    match method {
        "GetUser" => json!({"userId": id}),
        "ListRoleGrants" => {
            ask(shop, "shop.users.v1.RolesService/GrantRole", grant(request_id, &id)).await;
            json!({"userId": id})
        }
        "ListSessions" => {
            let signed = sign_in(request_id, &email);
            ask(shop, "shop.users.v1.SessionsService/SignIn", signed).await;
            json!({"userId": id, "pageSize": 5})
        }
        "UpdateProfile" => json!({
            "requestId": request_id,
            "userId": id,
            "etag": "1",
            "updateMask": "name,phone",
            "name": "Ada King",
            "phone": "+44 20 7946 0000",
        }),
        "UpdatePreferences" => json!({
            "requestId": request_id,
            "userId": id,
            "etag": "1",
            "updateMask": "language,newsletter",
            "language": "en-GB",
            "newsletter": true,
        }),
        "DeactivateUser" => json!({"requestId": request_id, "userId": id, "etag": "1"}),
        "ChangePassword" => json!({
            "requestId": request_id,
            "userId": id,
            "currentPassword": PASSWORD,
            "newPassword": "battery staple correct",
            "keepSessionId": uuid(),
        }),
        "RequestEmailVerification" | "SignOutEverywhere" => {
            json!({"requestId": request_id, "userId": id})
        }
        "SignIn" => sign_in(request_id, &email),
        "GrantRole" => grant(request_id, &id),
        "RevokeRole" => {
            let path = "shop.users.v1.RolesService/GrantRole";
            ask(shop, path, grant(&uuid(), &id)).await;
            grant(request_id, &id)
        }
        _ => unreachable!("{method} was checked"),
    }
}

struct Registered {
    id: String,
    email: String,
}

async fn registered(shop: &Shop) -> Registered {
    let (id, email) = (uuid(), address());
    ask(shop, "shop.users.v1.UsersService/RegisterUser", person(&id, &email)).await;
    Registered { id, email }
}

async fn session(shop: &Shop) -> Value {
    let email = registered(shop).await.email;
    ask(shop, "shop.users.v1.SessionsService/SignIn", sign_in(&uuid(), &email)).await
}

/// The token of the mail that this method asks for.
async fn mail(shop: &Shop, method: &str) -> String {
    let (mail_id, person) = (uuid(), registered(shop).await);
    let request = match method {
        "RequestPasswordReset" => json!({"requestId": mail_id, "email": person.email}),
        _ => json!({"requestId": mail_id, "userId": person.id}),
    };
    ask(shop, &format!("shop.users.v1.UsersService/{method}"), request).await;
    let path = "shop.users.v1.UsersService/GetMail";
    let answer = ask(shop, path, json!({"mailId": mail_id})).await;
    text(&answer["mail"]["token"])
}

fn person(request_id: &str, email: &str) -> Value {
    json!({
        "requestId": request_id,
        "email": email,
        "password": PASSWORD,
        "name": "Ada Lovelace",
        "language": "en",
    })
}

fn sign_in(request_id: &str, email: &str) -> Value {
    json!({
        "requestId": request_id,
        "email": email,
        "password": PASSWORD,
        "device": "a browser",
    })
}

fn grant(request_id: &str, user_id: &str) -> Value {
    json!({"requestId": request_id, "userId": user_id, "role": "support"})
}

fn address() -> String {
    format!("{}@example.com", uuid())
}

pub fn change(method: &str) -> Option<Change> {
    let other = |label| Change::new(label, "/userId", uuid());
    Some(match method {
        "RegisterUser" => Change::new("register_user", "/name", "Grace Hopper"),
        "UpdateProfile" => Change::new("update_profile", "/name", "Grace Hopper"),
        "UpdatePreferences" => Change::new("update_preferences", "/language", "fr"),
        "DeactivateUser" => other("deactivate_user"),
        "ChangePassword" => other("change_password"),
        "RequestPasswordReset" => Change::new("request_password_reset", "/email", address()),
        "ConfirmPasswordReset" => Change::new("confirm_password_reset", "/token", "another"),
        "RequestEmailVerification" => Change::new("request_email_verification", "/userId", uuid()),
        "ConfirmEmailVerification" => {
            Change::new("confirm_email_verification", "/token", "another")
        }
        "SignIn" => Change::new("sign_in", "/device", "another"),
        "SignOut" => other("sign_out"),
        "SignOutEverywhere" => other("sign_out_everywhere"),
        "GrantRole" => Change::new("grant_role", "/role", "carrier"),
        "RevokeRole" => Change::new("revoke_role", "/role", "carrier"),
        _ => return None,
    })
}
