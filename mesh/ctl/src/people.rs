//! The people of a seeded shop: two customers and an administrator, whose passwords everybody knows.

use anyhow::{Context, Result};
use mesh_rpc::{Channel, timeout_request};
use shop::users::v1::roles_service_client::RolesServiceClient;
use shop::users::v1::sessions_service_client::SessionsServiceClient;
use shop::users::v1::users_service_client::UsersServiceClient;
use shop::users::v1::{GrantRoleRequest, RegisterUserRequest, SignInRequest, Tokens};
use uuid::{Uuid, uuid};

use crate::seed::{LIMIT, id};

/// Somebody with an account.
pub struct Person {
    /// The name that people read.
    pub name: &'static str,
    /// By which they sign in.
    pub email: &'static str,
    /// It proves nothing: it is here for everybody to read.
    pub password: &'static str,
    /// The role that they have, if any.
    role: Option<&'static str>,
}

/// Whose token is meant if nobody is named.
pub const ADMINISTRATOR: &str = "admin@shop.example";

/// Who has an account. The customers come first.
pub const PEOPLE: [Person; 3] = [
    Person { name: "Ada", email: "ada@shop.example", password: "analytical engine", role: None },
    Person {
        name: "Grace",
        email: "grace@shop.example",
        password: "compilers for all",
        role: None,
    },
    Person {
        name: "Admin",
        email: ADMINISTRATOR,
        password: "open the shop, please",
        role: Some("administrator"),
    },
];

impl Person {
    /// The account's id, the same after every seeding.
    pub fn id(&self) -> Uuid {
        match self.role {
            None => id(&format!("customer/{}", self.name)),
            Some(_) => uuid!("ad000000-0000-4000-8000-000000000000"),
        }
    }
}

/// Registers everybody. Safe to repeat.
pub async fn register(users: Channel) -> Result<()> {
    let mut accounts = UsersServiceClient::new(users.clone());
    let mut roles = RolesServiceClient::new(users);
    for person in &PEOPLE {
        let request = RegisterUserRequest {
            request_id: person.id().to_string(),
            email: person.email.to_owned(),
            password: person.password.to_owned(),
            name: person.name.to_owned(),
            language: String::new(),
        };
        let registered = accounts.register_user(timeout_request(request, LIMIT)).await;
        registered.with_context(|| format!("cannot register {}", person.email))?;
        let Some(role) = person.role else { continue };
        let request = GrantRoleRequest {
            request_id: id(&format!("role/{}/{role}", person.name)).to_string(),
            user_id: person.id().to_string(),
            role: role.to_owned(),
        };
        let granted = roles.grant_role(timeout_request(request, LIMIT)).await;
        granted.with_context(|| format!("cannot make {} {role}", person.email))?;
    }
    Ok(())
}

/// Signs somebody in.
pub async fn sign_in(users: Channel, email: &str, password: &str) -> Result<Tokens> {
    let request = SignInRequest {
        request_id: Uuid::now_v7().to_string(),
        email: email.to_owned(),
        password: password.to_owned(),
        device: "meshctl".to_owned(),
    };
    let mut sessions = SessionsServiceClient::new(users);
    let signed = sessions.sign_in(timeout_request(request, LIMIT)).await;
    let signed = signed.with_context(|| format!("cannot sign {email} in"))?.into_inner();
    signed.tokens.context("the answer has no tokens")
}
