//! What happened to an account, as others hear of it: ids, and nothing personal.

use mesh_log::Event;
use shop::users::v1 as proto;
use uuid::Uuid;

use crate::domain::{MailKind, SessionEnd, UserEvent};

/// Announces what has just happened to the account.
pub fn announce(user: Uuid, event: UserEvent) -> Event {
    let user_id = user.to_string();
    match event {
        UserEvent::Registered => Event::public(&proto::UserRegistered { user_id }),
        UserEvent::ProfileUpdated => Event::public(&proto::ProfileUpdated { user_id }),
        UserEvent::Deactivated => Event::public(&proto::UserDeactivated { user_id }),
        UserEvent::PasswordChanged => Event::public(&proto::PasswordChanged { user_id }),
        UserEvent::MailRequested { kind: MailKind::PasswordReset, mail } => {
            let mail_id = mail.to_string();
            Event::public(&proto::PasswordResetRequested { user_id, mail_id })
        }
        UserEvent::MailRequested { kind: MailKind::EmailVerification, mail } => {
            let mail_id = mail.to_string();
            Event::public(&proto::EmailVerificationRequested { user_id, mail_id })
        }
        UserEvent::EmailVerified => Event::public(&proto::EmailVerified { user_id }),
        UserEvent::RoleGranted { role } => Event::public(&proto::RoleGranted { user_id, role }),
        UserEvent::RoleRevoked { role } => Event::public(&proto::RoleRevoked { user_id, role }),
        UserEvent::SessionRevoked { session, end } => {
            let (session_id, reason) = (session.to_string(), reason(end).into());
            Event::public(&proto::SessionRevoked { user_id, session_id, reason })
        }
    }
}

fn reason(end: SessionEnd) -> proto::SessionEnd {
    match end {
        SessionEnd::SignedOut => proto::SessionEnd::SignedOut,
        SessionEnd::TokenReused => proto::SessionEnd::TokenReused,
        SessionEnd::PasswordChanged => proto::SessionEnd::PasswordChanged,
        SessionEnd::Deactivated => proto::SessionEnd::Deactivated,
    }
}
