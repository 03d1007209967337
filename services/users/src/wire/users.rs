//! Requests about accounts, and their passwords.

use std::collections::BTreeSet;

use mesh_log::requests::digest;
use mesh_rpc::{Fields, Invalid, page_token};
use mesh_runtime::Secret;
use prost_types::FieldMask;
use shop::users::v1 as proto;
use uuid::{Uuid, Version};

use super::{PageOf, email, finish, key, new_password, page, password, seen, timestamp};
use crate::{
    app::{ChangePassword, ConfirmReset, DeactivateUser, RegisterUser, UpdateUser},
    domain::{Changes, State, User, is_language, is_phone},
};

const LONGEST_NAME: usize = 200;
const LONGEST_TOKEN: usize = 200;
/// Paths of an update mask; more than these are not read.
const MOST_PATHS: usize = 16;

pub fn register_user(
    request: &proto::RegisterUserRequest,
    address: String,
) -> Result<RegisterUser, Invalid> {
    let mut fields = Fields::default();
    let id = fields.uuid("request_id", &request.request_id);
    // Or somebody could take the account that an operator's tokens speak of, and end them with it.
    if id.get_version() == Some(Version::Custom) {
        fields.refuse("request_id", "USER_ID_KEPT", "must not be a UUID of version 8");
    }
    let email = email(&mut fields, &request.email);
    let password = new_password(&mut fields, "password", &request.password);
    let name = fields.text("name", &request.name, 1..=LONGEST_NAME);
    let language = language(&mut fields, &request.language);
    // A digest is no place for a password: it is fast.
    let digest = digest(&proto::RegisterUserRequest { password: String::new(), ..request.clone() });
    let email = finish(fields, email)?;
    Ok(RegisterUser { id, email, password, name, language, digest, address })
}

pub fn get_user(request: &proto::GetUserRequest) -> Result<Uuid, Invalid> {
    let mut fields = Fields::default();
    let id = fields.uuid("user_id", &request.user_id);
    fields.finish(id)
}

pub fn list_users(request: &proto::ListUsersRequest) -> Result<PageOf<Option<State>>, Invalid> {
    let mut fields = Fields::default();
    let state = state(&mut fields, request.state);
    let list = format!("shop.users.v1.UsersService/ListUsers state={}", request.state);
    let part = (request.page_size, request.page_token.as_str());
    let page = page(&mut fields, list, state, part);
    fields.finish(page)
}

pub fn update_profile(request: &proto::UpdateProfileRequest) -> Result<UpdateUser, Invalid> {
    let mut fields = Fields::default();
    let method = "shop.users.v1.UsersService/UpdateProfile";
    let key = key(&mut fields, method, &request.request_id);
    let id = fields.uuid("user_id", &request.user_id);
    let seen = seen(&mut fields, &request.etag);
    let named = mask(&mut fields, request.update_mask.as_ref(), &["name", "phone"]);
    let wanted = |path, given| if named.is_empty() { given } else { named.contains(path) };
    let (has_name, has_phone) =
        (wanted("name", !request.name.is_empty()), wanted("phone", !request.phone.is_empty()));
    let name = has_name.then(|| fields.text("name", &request.name, 1..=LONGEST_NAME));
    let phone = has_phone.then(|| phone(&mut fields, &request.phone));
    let changes = Changes { name, phone, ..Changes::default() };
    let (digest, label) = (digest(request), "update_profile");
    fields.finish(UpdateUser { key, digest, id, seen, changes, label })
}

pub fn update_preferences(
    request: &proto::UpdatePreferencesRequest,
) -> Result<UpdateUser, Invalid> {
    let mut fields = Fields::default();
    let method = "shop.users.v1.UsersService/UpdatePreferences";
    let key = key(&mut fields, method, &request.request_id);
    let id = fields.uuid("user_id", &request.user_id);
    let seen = seen(&mut fields, &request.etag);
    let named = mask(&mut fields, request.update_mask.as_ref(), &["language", "newsletter"]);
    let wanted = |path| named.is_empty() || named.contains(path);
    let language = wanted("language").then(|| language(&mut fields, &request.language));
    let newsletter = wanted("newsletter").then_some(request.newsletter);
    let changes = Changes { language, newsletter, ..Changes::default() };
    let (digest, label) = (digest(request), "update_preferences");
    fields.finish(UpdateUser { key, digest, id, seen, changes, label })
}

pub fn deactivate_user(request: &proto::DeactivateUserRequest) -> Result<DeactivateUser, Invalid> {
    let mut fields = Fields::default();
    let method = "shop.users.v1.UsersService/DeactivateUser";
    let key = key(&mut fields, method, &request.request_id);
    let id = fields.uuid("user_id", &request.user_id);
    let seen = seen(&mut fields, &request.etag);
    fields.finish(DeactivateUser { key, digest: digest(request), id, seen })
}

pub fn change_password(
    request: &proto::ChangePasswordRequest,
    address: String,
) -> Result<ChangePassword, Invalid> {
    let mut fields = Fields::default();
    let method = "shop.users.v1.UsersService/ChangePassword";
    let key = key(&mut fields, method, &request.request_id);
    let user = fields.uuid("user_id", &request.user_id);
    let current = password(&mut fields, "current_password", &request.current_password);
    let new = new_password(&mut fields, "new_password", &request.new_password);
    let kept = &request.keep_session_id;
    let keep = (!kept.is_empty()).then(|| fields.uuid("keep_session_id", kept));
    let digest = digest(&proto::ChangePasswordRequest {
        current_password: String::new(),
        new_password: String::new(),
        ..request.clone()
    });
    fields.finish(ChangePassword { key, digest, user, current, new, keep, address })
}

pub fn confirm_reset(
    request: &proto::ConfirmPasswordResetRequest,
) -> Result<ConfirmReset, Invalid> {
    let mut fields = Fields::default();
    let method = "shop.users.v1.UsersService/ConfirmPasswordReset";
    let key = key(&mut fields, method, &request.request_id);
    let token = token(&mut fields, "token", &request.token);
    let new = new_password(&mut fields, "new_password", &request.new_password);
    let bare =
        proto::ConfirmPasswordResetRequest { new_password: String::new(), ..request.clone() };
    fields.finish(ConfirmReset { key, digest: digest(&bare), token, new })
}

/// The answer to a list; `more` says that the list goes on after these.
pub fn users_page<Q>(asked: &PageOf<Q>, users: Vec<User>, more: bool) -> proto::ListUsersResponse {
    let last = users.last().filter(|_| more);
    let token = last.map(|last| page_token(&asked.list, &last.id.to_string()));
    proto::ListUsersResponse {
        users: users.into_iter().map(user).collect(),
        next_page_token: token.unwrap_or_default(),
    }
}

pub fn user(user: User) -> proto::User {
    proto::User {
        user_id: user.id.to_string(),
        email: user.email.as_str().to_owned(),
        email_verified: user.verified,
        name: user.name,
        phone: user.phone,
        preferences: Some(proto::Preferences {
            language: user.language,
            newsletter: user.newsletter,
        }),
        state: match user.state {
            State::Active => proto::UserState::Active,
            State::Deactivated => proto::UserState::Deactivated,
        }
        .into(),
        etag: user.version.to_string(),
        create_time: Some(timestamp(user.created)),
        update_time: Some(timestamp(user.updated)),
    }
}

/// A token of ours, in whatever form: who makes it says whether it is one.
pub(super) fn token(fields: &mut Fields, field: &str, text: &str) -> Secret {
    Secret::new(fields.text(field, text, 1..=LONGEST_TOKEN))
}

/// What an update mask names of what may be changed.
fn mask(fields: &mut Fields, mask: Option<&FieldMask>, mutable: &[&str]) -> BTreeSet<String> {
    let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
    let readable = fields.count("update_mask.paths", paths.len(), 0..=MOST_PATHS);
    for (n, path) in paths.iter().take(readable).enumerate() {
        if !mutable.contains(&path.as_str()) {
            let right = format!("must be one of {}", mutable.join(", "));
            fields.refuse(&format!("update_mask.paths[{n}]"), "PATH_UNKNOWN", right);
        }
    }
    paths.iter().take(readable).cloned().collect()
}

fn language(fields: &mut Fields, text: &str) -> String {
    if !is_language(text) {
        let right = "must be a language such as \"en\" or \"pt-BR\", or empty";
        fields.refuse("language", "LANGUAGE_MALFORMED", right);
    }
    text.to_owned()
}

fn phone(fields: &mut Fields, text: &str) -> String {
    if !is_phone(text) {
        let right = "must be no more than 40 digits, blanks and any of \"+-()./\", or empty";
        fields.refuse("phone", "PHONE_MALFORMED", right);
    }
    text.to_owned()
}

fn state(fields: &mut Fields, state: i32) -> Option<State> {
    match proto::UserState::try_from(state) {
        Ok(proto::UserState::Unspecified) => None,
        Ok(proto::UserState::Active) => Some(State::Active),
        Ok(proto::UserState::Deactivated) => Some(State::Deactivated),
        Err(_) => {
            fields.refuse("state", "ENUM_UNKNOWN", "must be ACTIVE, DEACTIVATED or unspecified");
            None
        }
    }
}
