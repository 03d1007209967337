//! Who orders: people with an account who have signed in at the front door; where there is none,
//! whoever a key speaks for.

use std::time::Duration;

use anyhow::{Context, Result};
use http::HeaderValue;
use mesh_auth::LIFE;
use shop::users::v1::sessions_service_client::SessionsServiceClient;
use shop::users::v1::users_service_client::UsersServiceClient;
use shop::users::v1::{RefreshSessionRequest, RegisterUserRequest, SignInRequest, Tokens};
use tokio::time::Instant;
use tonic::Request;
use uuid::Uuid;

use crate::caller::Channels;
use crate::doors::{Clients, answer};
use crate::persist::Persistence;

/// How long a token is used before it is renewed: it is good for some minutes more.
const FRESH: Duration = LIFE.saturating_sub(Duration::from_secs(300));

/// Whoever makes an order.
#[derive(Debug)]
pub(super) struct Buyer {
    pub id: String,
    shows: Shows,
}

/// What a buyer shows.
#[derive(Debug)]
enum Shows {
    /// A token that this program signs.
    Key(Channels),
    /// One that the users service gave.
    Session { header: HeaderValue, refresh: String, since: Instant },
}

impl Buyer {
    /// Somebody new, for whom a key speaks.
    pub fn by_key(channels: &Channels) -> Buyer {
        Buyer { id: Uuid::now_v7().to_string(), shows: Shows::Key(channels.clone()) }
    }

    /// Whether they go on to be the same.
    pub fn has_session(&self) -> bool {
        matches!(self.shows, Shows::Session { .. })
    }

    /// Registers somebody, and signs them in.
    pub async fn signed_in(clients: &Clients, persistence: &Persistence<'_>) -> Result<Buyer> {
        let id = Uuid::now_v7().to_string();
        // Nobody signs in by it again.
        let (email, password) =
            (format!("{id}@demo.shop.example"), Uuid::new_v4().simple().to_string());
        let request = RegisterUserRequest {
            request_id: id.clone(),
            email: email.clone(),
            password: password.clone(),
            name: "A customer".to_owned(),
            language: String::new(),
        };
        let registered = persistence.call("RegisterUser", &request, |request| {
            let mut users = UsersServiceClient::new(clients.door.clone());
            async move { answer(users.register_user(request).await) }
        });
        registered.await.context("cannot register a customer")?;
        let (request_id, device) = (Uuid::now_v7().to_string(), "demo".to_owned());
        let request = SignInRequest { request_id, email, password, device };
        let signed = persistence.call("SignIn", &request, |request| {
            let mut sessions = SessionsServiceClient::new(clients.door.clone());
            async move { answer(sessions.sign_in(request).await) }
        });
        let signed = signed.await.context("cannot sign a customer in")?;
        Ok(Buyer { id, shows: session(signed.tokens)? })
    }

    /// Gets a new token, if this one ends soon.
    pub async fn renew(&mut self, clients: &Clients, persistence: &Persistence<'_>) -> Result<()> {
        let Shows::Session { refresh, since, .. } = &self.shows else { return Ok(()) };
        if since.elapsed() < FRESH {
            return Ok(());
        }
        let request = RefreshSessionRequest { refresh_token: refresh.clone() };
        let renewed = persistence.call("RefreshSession", &request, |request| {
            let mut sessions = SessionsServiceClient::new(clients.door.clone());
            async move { answer(sessions.refresh_session(request).await) }
        });
        self.shows = session(renewed.await?.tokens)?;
        Ok(())
    }

    /// Makes a call the buyer's.
    pub fn sign<T>(&self, mut request: Request<T>) -> Request<T> {
        match &self.shows {
            Shows::Key(channels) => channels.as_customer(&self.id, request),
            Shows::Session { header, .. } => {
                if let Some(token) = header.to_str().ok().and_then(|it| it.parse().ok()) {
                    request.metadata_mut().insert("authorization", token);
                }
                request
            }
        }
    }
}

fn session(tokens: Option<Tokens>) -> Result<Shows> {
    let tokens = tokens.context("the answer has no tokens")?;
    let mut header = HeaderValue::from_str(&format!("Bearer {}", tokens.access_token))?;
    header.set_sensitive(true);
    Ok(Shows::Session { header, refresh: tokens.refresh_token, since: Instant::now() })
}
