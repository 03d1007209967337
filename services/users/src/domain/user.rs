//! A person with an account.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Email, Refusal};

/// A person with an account.
#[derive(Clone, PartialEq)]
pub struct User {
    pub id: Uuid,
    pub email: Email,
    pub verified: bool,
    pub name: String,
    pub phone: String,
    pub language: String,
    pub newsletter: bool,
    pub state: State,
    /// Grows with every change.
    pub version: i32,
    pub created: OffsetDateTime,
    pub updated: OffsetDateTime,
}

/// Whether an account can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Active,
    Deactivated,
}

/// What shall be different about a person; what is `None` stays.
#[derive(Clone, Default, PartialEq)]
pub struct Changes {
    pub name: Option<String>,
    pub phone: Option<String>,
    pub language: Option<String>,
    pub newsletter: Option<bool>,
}

/// What a mail is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailKind {
    PasswordReset,
    EmailVerification,
}

/// Why a session ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    SignedOut,
    TokenReused,
    PasswordChanged,
    Deactivated,
}

/// What happened to an account.
#[derive(Clone, Debug, PartialEq)]
pub enum UserEvent {
    Registered,
    ProfileUpdated,
    Deactivated,
    PasswordChanged,
    MailRequested { kind: MailKind, mail: Uuid },
    EmailVerified,
    RoleGranted { role: String },
    RoleRevoked { role: String },
    SessionRevoked { session: Uuid, end: SessionEnd },
}

impl User {
    /// Refuses if the caller saw another version than this.
    pub fn check(&self, seen: Option<i32>) -> Result<(), Refusal> {
        match seen {
            Some(version) if version != self.version => Err(Refusal::UserChanged),
            _ => Ok(()),
        }
    }

    /// Refuses if the account cannot be used.
    pub fn check_active(&self) -> Result<(), Refusal> {
        match self.state {
            State::Active => Ok(()),
            State::Deactivated => Err(Refusal::UserDeactivated),
        }
    }

    /// Changes what is known of the person. Nothing happens if all is so already.
    pub fn update(
        &mut self,
        changes: Changes,
        now: OffsetDateTime,
    ) -> Result<Option<UserEvent>, Refusal> {
        self.check_active()?;
        let Changes { name, phone, language, newsletter } = changes;
        let changed = Self {
            name: name.unwrap_or_else(|| self.name.clone()),
            phone: phone.unwrap_or_else(|| self.phone.clone()),
            language: language.unwrap_or_else(|| self.language.clone()),
            newsletter: newsletter.unwrap_or(self.newsletter),
            ..self.clone()
        };
        if changed == *self {
            return Ok(None);
        }
        *self = Self { version: self.version + 1, updated: now, ..changed };
        Ok(Some(UserEvent::ProfileUpdated))
    }

    /// Ends the use of the account. Nothing happens if it has ended.
    pub fn deactivate(&mut self, now: OffsetDateTime) -> Option<UserEvent> {
        if self.state == State::Deactivated {
            return None;
        }
        self.state = State::Deactivated;
        self.version += 1;
        self.updated = now;
        Some(UserEvent::Deactivated)
    }

    /// Notes that somebody reads the mail of the address. Nothing happens if that is known.
    pub fn verify(&mut self, now: OffsetDateTime) -> Option<UserEvent> {
        if self.verified {
            return None;
        }
        self.verified = true;
        self.version += 1;
        self.updated = now;
        Some(UserEvent::EmailVerified)
    }
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Deactivated => "DEACTIVATED",
        }
    }
}

impl MailKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PasswordReset => "PASSWORD_RESET",
            Self::EmailVerification => "EMAIL_VERIFICATION",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_new_version_and_what_is_so_already_is_none() {
        let mut ada = ada();
        let changes = || Changes { phone: Some("1".to_owned()), ..Changes::default() };

        assert_eq!(ada.update(changes(), later()), Ok(Some(UserEvent::ProfileUpdated)));
        assert_eq!((ada.version, ada.updated, ada.name.as_str()), (2, later(), "Ada"));
        assert_eq!(ada.update(changes(), later()), Ok(None));
        assert_eq!((ada.check(None), ada.check(Some(2))), (Ok(()), Ok(())));
        assert_eq!(ada.check(Some(1)), Err(Refusal::UserChanged));
        assert_eq!(ada.verify(later()), Some(UserEvent::EmailVerified));
        assert_eq!((ada.verify(later()), ada.version), (None, 3));
    }

    #[test]
    fn a_deactivated_account_stays_as_it_is() {
        let mut ada = ada();

        assert_eq!(ada.deactivate(later()), Some(UserEvent::Deactivated));
        assert_eq!((ada.deactivate(later()), ada.version), (None, 2));
        let refused = ada.update(Changes::default(), later());
        assert_eq!(refused, Err(Refusal::UserDeactivated));
    }

    fn ada() -> User {
        User {
            id: Uuid::nil(),
            email: Email::parse("ada@example.com").unwrap(),
            verified: false,
            name: "Ada".to_owned(),
            phone: String::new(),
            language: String::new(),
            newsletter: false,
            state: State::Active,
            version: 1,
            created: OffsetDateTime::UNIX_EPOCH,
            updated: OffsetDateTime::UNIX_EPOCH,
        }
    }

    fn later() -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH.replace_year(1990).unwrap()
    }
}
