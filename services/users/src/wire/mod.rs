//! Protobuf to domain and back. Parsing happens here and nowhere else.

mod mails;
mod roles;
mod sessions;
mod users;

use mesh_log::requests::Key;
use mesh_rpc::{Fields, Invalid, Page};
use mesh_runtime::Secret;
use prost_types::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

pub use mails::{confirm_email, get_mail, mail, request_reset, request_verification};
pub use roles::{grant_role, grants, known_roles, list_grants, revoke_role};
pub use sessions::{
    begun, key_set, list_sessions, refresh_token, refreshed, sessions_page, sign_in, sign_out,
    sign_out_everywhere,
};
pub use users::{
    change_password, confirm_reset, deactivate_user, get_user, list_users, register_user,
    update_preferences, update_profile, user, users_page,
};

use crate::domain::Email;

/// Of a password that is set; one that is shown may be shorter.
const SHORTEST_PASSWORD: usize = 12;
const LONGEST_PASSWORD: usize = 200;

/// The part of a list that is asked for, and the list that it is a part of.
pub struct PageOf<Q> {
    /// What page tokens of the list are bound to.
    list: String,
    pub query: Q,
    /// The last element of the page before.
    pub after: Option<Uuid>,
    pub size: usize,
}

/// Reads a page whose tokens name its last element's id.
fn page<Q>(fields: &mut Fields, list: String, query: Q, (size, token): (i32, &str)) -> PageOf<Q> {
    let Page { after, size } = fields.page(&list, size, token);
    let after = after.map(|last| last.parse::<Uuid>());
    if matches!(after, Some(Err(_))) {
        fields.refuse_page_token();
    }
    PageOf { list, query, after: after.and_then(Result::ok), size }
}

fn key(fields: &mut Fields, method: &str, request_id: &str) -> Key {
    let request_id = fields.uuid("request_id", request_id);
    Key::new(method, "", request_id)
}

fn email(fields: &mut Fields, text: &str) -> Option<Email> {
    let email = Email::parse(text);
    if email.is_none() {
        let right = "must be an e-mail address of no more than 254 bytes";
        fields.refuse("email", "EMAIL_MALFORMED", right);
    }
    email
}

/// A password that is to be set.
fn new_password(fields: &mut Fields, field: &str, text: &str) -> Secret {
    Secret::new(fields.text(field, text, SHORTEST_PASSWORD..=LONGEST_PASSWORD))
}

/// A password that is shown.
fn password(fields: &mut Fields, field: &str, text: &str) -> Secret {
    Secret::new(fields.text(field, text, 1..=LONGEST_PASSWORD))
}

/// An etag is a version in decimal; callers need not know.
fn seen(fields: &mut Fields, etag: &str) -> Option<i32> {
    if etag.is_empty() {
        return None;
    }
    let version = etag.parse().ok().filter(|version: &i32| *version > 0);
    if version.is_none_or(|version| version.to_string() != etag) {
        fields.refuse("etag", "ETAG_MALFORMED", "must be an etag that this service gave, or empty");
    }
    version
}

fn timestamp(time: OffsetDateTime) -> Timestamp {
    let nanos = i32::try_from(time.nanosecond()).expect("less than a billion");
    Timestamp { seconds: time.unix_timestamp(), nanos }
}

fn finish<T>(fields: Fields, value: Option<T>) -> Result<T, Invalid> {
    Ok(fields.finish(value)?.expect("a value is missing only with a violation"))
}
