//! Requests about mails with a token.

use mesh_log::requests::digest;
use mesh_rpc::{Fields, Invalid};
use shop::users::v1 as proto;
use uuid::Uuid;

use super::{email, finish, key, timestamp, users::token};
use crate::{
    app::{ConfirmEmail, RequestReset, RequestVerification, ToDeliver},
    domain::MailKind,
};

/// Whatever asks for a mail gives the mail its id: one `request_id` asks for one mail, by whichever RPC.
/// Otherwise the id that is taken already would tell whether a mail was made.
const ASKED: &str = "shop.users.v1.UsersService/RequestPasswordReset";

pub fn request_reset(
    request: &proto::RequestPasswordResetRequest,
    address: String,
) -> Result<RequestReset, Invalid> {
    let mut fields = Fields::default();
    let key = key(&mut fields, ASKED, &request.request_id);
    let id = request.request_id.parse().unwrap_or_default();
    let email = email(&mut fields, &request.email);
    let email = finish(fields, email)?;
    Ok(RequestReset { id, key, digest: digest(request), email, address })
}

pub fn request_verification(
    request: &proto::RequestEmailVerificationRequest,
    address: String,
) -> Result<RequestVerification, Invalid> {
    let mut fields = Fields::default();
    let key = key(&mut fields, ASKED, &request.request_id);
    let id = request.request_id.parse().unwrap_or_default();
    let user = fields.uuid("user_id", &request.user_id);
    fields.finish(RequestVerification { id, key, digest: digest(request), user, address })
}

pub fn confirm_email(
    request: &proto::ConfirmEmailVerificationRequest,
) -> Result<ConfirmEmail, Invalid> {
    let mut fields = Fields::default();
    let method = "shop.users.v1.UsersService/ConfirmEmailVerification";
    let key = key(&mut fields, method, &request.request_id);
    let token = token(&mut fields, "token", &request.token);
    fields.finish(ConfirmEmail { key, digest: digest(request), token })
}

pub fn get_mail(request: &proto::GetMailRequest) -> Result<Uuid, Invalid> {
    let mut fields = Fields::default();
    let id = fields.uuid("mail_id", &request.mail_id);
    fields.finish(id)
}

pub fn mail(found: ToDeliver) -> proto::Mail {
    let ToDeliver { mail, to, token } = found;
    proto::Mail {
        mail_id: mail.id.to_string(),
        user_id: mail.user.to_string(),
        kind: match mail.kind {
            MailKind::PasswordReset => proto::MailKind::PasswordReset,
            MailKind::EmailVerification => proto::MailKind::EmailVerification,
        }
        .into(),
        email: to.email.as_str().to_owned(),
        name: to.name,
        language: to.language,
        token: token.expose().to_owned(),
        expire_time: Some(timestamp(mail.expires)),
    }
}
