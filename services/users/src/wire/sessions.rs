//! Requests about sessions, and their tokens.

use mesh_auth::Jwks;
use mesh_log::requests::digest;
use mesh_rpc::{Fields, Invalid, page_token};
use mesh_runtime::Secret;
use shop::users::v1 as proto;
use uuid::Uuid;

use super::{PageOf, email, finish, key, page, password, timestamp, users::token};
use crate::{
    app::{SignIn, SignOut, Signed},
    domain::Session,
};

const LONGEST_DEVICE: usize = 100;

pub fn sign_in(request: &proto::SignInRequest, address: String) -> Result<SignIn, Invalid> {
    let mut fields = Fields::default();
    let request_id = fields.uuid("request_id", &request.request_id);
    let email = email(&mut fields, &request.email);
    let password = password(&mut fields, "password", &request.password);
    let device = fields.text("device", &request.device, 0..=LONGEST_DEVICE);
    let digest = digest(&proto::SignInRequest { password: String::new(), ..request.clone() });
    let method = "shop.users.v1.SessionsService/SignIn";
    let email = finish(fields, email)?;
    Ok(SignIn { request_id, method, email, password, device, digest, address })
}

pub fn refresh_token(request: &proto::RefreshSessionRequest) -> Result<Secret, Invalid> {
    let mut fields = Fields::default();
    let token = token(&mut fields, "refresh_token", &request.refresh_token);
    fields.finish(token)
}

pub fn sign_out(request: &proto::SignOutRequest) -> Result<SignOut, Invalid> {
    let mut fields = Fields::default();
    let method = "shop.users.v1.SessionsService/SignOut";
    let key = key(&mut fields, method, &request.request_id);
    let user = fields.uuid("user_id", &request.user_id);
    let session = Some(fields.uuid("session_id", &request.session_id));
    fields.finish(SignOut { key, digest: digest(request), user, session })
}

pub fn sign_out_everywhere(request: &proto::SignOutEverywhereRequest) -> Result<SignOut, Invalid> {
    let mut fields = Fields::default();
    let method = "shop.users.v1.SessionsService/SignOutEverywhere";
    let key = key(&mut fields, method, &request.request_id);
    let user = fields.uuid("user_id", &request.user_id);
    fields.finish(SignOut { key, digest: digest(request), user, session: None })
}

pub fn list_sessions(request: &proto::ListSessionsRequest) -> Result<PageOf<Uuid>, Invalid> {
    let mut fields = Fields::default();
    let user = fields.uuid("user_id", &request.user_id);
    let list = format!("shop.users.v1.SessionsService/ListSessions user={user}");
    let part = (request.page_size, request.page_token.as_str());
    let page = page(&mut fields, list, user, part);
    fields.finish(page)
}

/// The answer to a list; `more` says that the list goes on after these.
pub fn sessions_page(
    asked: &PageOf<Uuid>,
    sessions: &[Session],
    more: bool,
) -> proto::ListSessionsResponse {
    let last = sessions.last().filter(|_| more);
    let token = last.map(|last| page_token(&asked.list, &last.id.to_string()));
    proto::ListSessionsResponse {
        sessions: sessions.iter().map(session).collect(),
        next_page_token: token.unwrap_or_default(),
    }
}

pub fn begun(signed: &Signed) -> proto::SignInResponse {
    let (session, tokens) = (Some(session(&signed.session)), Some(tokens(signed)));
    proto::SignInResponse { session, tokens }
}

pub fn refreshed(signed: &Signed) -> proto::RefreshSessionResponse {
    let (session, tokens) = (Some(session(&signed.session)), Some(tokens(signed)));
    proto::RefreshSessionResponse { session, tokens }
}

pub fn key_set(keys: &Jwks) -> proto::GetKeysResponse {
    let keys = keys.keys.iter().map(|key| proto::JsonWebKey {
        kty: "OKP".to_owned(),
        crv: "Ed25519".to_owned(),
        alg: "EdDSA".to_owned(),
        r#use: "sig".to_owned(),
        kid: key.id().to_owned(),
        x: key.x().to_owned(),
    });
    proto::GetKeysResponse { keys: keys.collect() }
}

fn session(session: &Session) -> proto::Session {
    proto::Session {
        session_id: session.id.to_string(),
        user_id: session.user.to_string(),
        device: session.device.clone(),
        create_time: Some(timestamp(session.created)),
        refresh_time: Some(timestamp(session.refreshed)),
        expire_time: Some(timestamp(session.expires())),
    }
}

fn tokens(signed: &Signed) -> proto::Tokens {
    proto::Tokens {
        access_token: signed.access.expose().to_owned(),
        access_expire_time: Some(timestamp(signed.access_expires)),
        refresh_token: signed.refresh.expose().to_owned(),
        refresh_expire_time: Some(timestamp(signed.session.expires())),
    }
}
