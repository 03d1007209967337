//! Where operators say what holds: the bucket, written.

use async_nats::jetstream::{
    self,
    kv::{self, Operation, UpdateErrorKind},
};
use futures::StreamExt as _;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{BUCKET, BadRule, Change, Rule};

/// How often a change is tried anew when another one came between.
const TRIES: u32 = 10;
/// How long a name or a reason can be.
const LONGEST: usize = 200;

/// What operators say of flags.
#[derive(Clone, Debug)]
pub struct Board {
    bucket: kv::Store,
}

/// Why nothing was read, or changed.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// The broker does not do it.
    #[error("the broker's bucket `{BUCKET}` cannot be used: {0}")]
    Broker(String),
    /// Nobody who writes flags has written it.
    #[error("what is kept of `{name}` cannot be read ({why}): unset it")]
    Unreadable {
        /// The flag's full name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The rule cannot be.
    #[error(transparent)]
    Rule(#[from] BadRule),
    /// Nobody would be known by it.
    #[error("{what} has to be {least} to {LONGEST} characters on one line")]
    Word {
        /// Whose text it is.
        what: &'static str,
        /// The fewest.
        least: usize,
    },
    /// Others change it, too.
    #[error("`{0}` is being changed by others at this moment: look at it, and say it again")]
    Crowded(String),
}

impl Board {
    /// Opens the bucket, which `up` or `provision streams` has made.
    ///
    /// # Errors
    /// If the broker is away, refuses, or has no such bucket.
    pub async fn open(jetstream: &jetstream::Context) -> Result<Self, NotKept> {
        let bucket = jetstream.get_key_value(BUCKET).await.map_err(broker)?;
        Ok(Self { bucket })
    }

    /// The last word on the flag `name`, a full name; none if nobody ever said anything.
    ///
    /// # Errors
    /// If the broker does not answer, or what is there cannot be read.
    pub async fn get(&self, name: &str) -> Result<Option<Change>, NotKept> {
        match self.bucket.entry(name).await.map_err(broker)? {
            Some(entry) => read(name, &entry),
            None => Ok(None),
        }
    }

    /// Every word on the flag `name` that is kept, the first first; the last [`HISTORY`](crate::HISTORY).
    ///
    /// # Errors
    /// If the broker does not answer. What cannot be read is left out.
    pub async fn history(&self, name: &str) -> Result<Vec<Change>, NotKept> {
        let mut entries = self.bucket.history(name).await.map_err(broker)?;
        let mut changes = Vec::new();
        while let Some(entry) = entries.next().await {
            changes.extend(read(name, &entry.map_err(broker)?).unwrap_or_default());
        }
        Ok(changes)
    }

    /// Says of the flag `name` what `edit` makes of what holds now, as `by`, who may give a reason.
    /// Of two who change it at once neither undoes what the other said. The broker makes sure who may,
    /// not that a name is right.
    ///
    /// # Errors
    /// If `edit` refuses, a text is too long, the broker does not take it, or others are faster again
    /// and again.
    pub async fn change(
        &self,
        name: &str,
        (by, why): (&str, &str),
        edit: impl Fn(Option<Rule>) -> Result<Option<Rule>, BadRule>,
    ) -> Result<Change, NotKept> {
        check("who changes it (--by)", by, 1)?;
        check("the reason (--why)", why, 0)?;
        for _ in 0..TRIES {
            let entry = self.bucket.entry(name).await.map_err(broker)?;
            let revision = entry.as_ref().map_or(0, |entry| entry.revision);
            let before = entry.and_then(|entry| read(name, &entry).ok().flatten());
            let rule = edit(before.and_then(|change| change.rule))?;
            let at = OffsetDateTime::now_utc()
                .replace_nanosecond(0)
                .unwrap_or(OffsetDateTime::UNIX_EPOCH);
            let at = at.format(&Rfc3339).map_err(broker)?;
            let change = Change { rule, by: by.to_owned(), at, why: why.to_owned() };
            let value = serde_json::to_vec(&change).map_err(broker)?;
            match self.bucket.update(name, value.into(), revision).await {
                Ok(_) => return Ok(change),
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {}
                Err(error) => return Err(broker(error)),
            }
        }
        Err(NotKept::Crowded(name.to_owned()))
    }
}

/// What was deleted by other means counts as never said.
fn read(name: &str, entry: &kv::Entry) -> Result<Option<Change>, NotKept> {
    if entry.operation != Operation::Put {
        return Ok(None);
    }
    let unreadable = |why| NotKept::Unreadable { name: name.to_owned(), why };
    Change::read(&entry.value).map(Some).map_err(unreadable)
}

fn check(what: &'static str, text: &str, least: usize) -> Result<(), NotKept> {
    let count = text.chars().count();
    if count < least || count > LONGEST || text.chars().any(char::is_control) {
        return Err(NotKept::Word { what, least });
    }
    Ok(())
}

fn broker(error: impl std::fmt::Display) -> NotKept {
    NotKept::Broker(error.to_string())
}
