//! One sign-in, until the person signs out.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// How long a session lasts that nobody refreshes.
const LIFE: Duration = Duration::days(30);
/// For how long the last refresh token still gives its successor: the answer may have been lost.
const AGAIN: Duration = Duration::seconds(10);

/// One sign-in, on one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub id: Uuid,
    pub user: Uuid,
    pub device: String,
    /// How often it was refreshed; its refresh token carries this number.
    pub generation: u32,
    pub created: OffsetDateTime,
    pub refreshed: OffsetDateTime,
    pub ended: bool,
}

/// What a refresh token does to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// It gives the next one.
    Next,
    /// It gives the same successor again.
    Again,
    /// Somebody used it before, and this is somebody else: the session ends.
    Reused,
    /// It does nothing.
    Refused,
}

impl Session {
    /// When it ends, unless it is refreshed before.
    pub fn expires(&self) -> OffsetDateTime {
        self.refreshed + LIFE
    }

    /// As it was when the person signed in.
    pub fn as_begun(&self) -> Self {
        Self { generation: 0, refreshed: self.created, ..self.clone() }
    }

    /// Takes the refresh token of this generation.
    pub fn refresh(&mut self, generation: u32, now: OffsetDateTime) -> Refreshed {
        if self.ended || now >= self.expires() || generation > self.generation {
            return Refreshed::Refused;
        }
        if generation == self.generation {
            self.generation += 1;
            self.refreshed = now;
            return Refreshed::Next;
        }
        if generation + 1 == self.generation && now - self.refreshed <= AGAIN {
            return Refreshed::Again;
        }
        Refreshed::Reused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_token_gives_the_next_and_the_same_next_for_ten_seconds() {
        let mut session = session();

        assert_eq!(session.refresh(0, at(60)), Refreshed::Next);
        assert_eq!((session.generation, session.refreshed), (1, at(60)));
        assert_eq!(session.refresh(0, at(70)), Refreshed::Again);
        assert_eq!((session.generation, session.refreshed), (1, at(60)));
        assert_eq!(session.refresh(0, at(71)), Refreshed::Reused);
    }

    #[test]
    fn an_older_token_is_never_good() {
        let mut session = session();
        session.refresh(0, at(1));
        session.refresh(1, at(2));

        assert_eq!(session.refresh(0, at(3)), Refreshed::Reused);
        assert_eq!(session.refresh(3, at(3)), Refreshed::Refused, "of the future");
        let begun = session.as_begun();
        assert_eq!((begun.generation, begun.refreshed), (0, at(0)));
    }

    #[test]
    fn a_session_ends_when_nobody_refreshes_it() {
        let month = 30 * 24 * 60 * 60;
        assert_eq!(session().refresh(0, at(month - 1)), Refreshed::Next);
        assert_eq!(session().refresh(0, at(month)), Refreshed::Refused);
        let mut ended = Session { ended: true, ..session() };
        assert_eq!(ended.refresh(0, at(1)), Refreshed::Refused);
    }

    fn session() -> Session {
        Session {
            id: Uuid::nil(),
            user: Uuid::nil(),
            device: String::new(),
            generation: 0,
            created: at(0),
            refreshed: at(0),
            ended: false,
        }
    }

    fn at(second: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::seconds(second)
    }
}
