//! Who walks a service, and what of a walk has been done: in the home, so that whoever comes after one that
//! was killed can put everything back.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use mesh_local::{Home, private_dir, replace};
use serde::{Deserialize, Serialize};

use crate::output;

const FOLDER: &str = "canary";

/// The right to walk a service. The system takes it back when the process that has it ends, however it
/// ends.
#[derive(Debug)]
pub struct Hold {
    file: PathBuf,
    _lock: File,
}

/// What a walk has done so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version that takes over.
    pub version: String,
    /// Whether routes may be others than those that are shipped.
    pub applied: bool,
    /// Of a hundred calls, those that it has been given.
    pub share: u32,
    /// Whether the walk is over, and it has all of them.
    pub done: bool,
}

impl Hold {
    /// Takes the right.
    ///
    /// # Errors
    /// Another process has it.
    pub fn take(home: &Home, service: &str) -> Result<Hold> {
        let dir = home.path(FOLDER);
        private_dir(&dir, None).with_context(|| format!("cannot use {}", dir.display()))?;
        let path = dir.join(format!("{service}.lock"));
        let cannot = || format!("cannot lock {}", path.display());
        let lock = File::create(&path).with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => Ok(Hold { file: dir.join(format!("{service}.json")), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                bail!("another `{} canary {service}` is under way", output::program())
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(cannot),
        }
    }

    /// What the last walk has done, unless it was put back.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self) -> Result<Option<Record>> {
        match fs::read_to_string(&self.file) {
            Ok(text) => {
                let record = serde_json::from_str(&text);
                record.map(Some).with_context(|| format!("{} is damaged", self.file.display()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(error).with_context(|| format!("cannot read {}", self.file.display()))
            }
        }
    }

    /// Says what is about to be done.
    ///
    /// # Errors
    /// The file cannot be written: then it must not be done.
    pub fn write(&self, record: &Record) -> Result<()> {
        let text = serde_json::to_string_pretty(record)?;
        replace(&self.file, &text).with_context(|| format!("cannot write {}", self.file.display()))
    }

    /// Says that everything is as it was.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget(&self) -> Result<()> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.file.display()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_walks_a_service_at_a_time_and_the_next_knows_what_was_done() {
        let root = std::env::temp_dir().join(format!("canary-{}", uuid::Uuid::new_v4().simple()));
        let home = Home::at(&root).unwrap();
        let record = Record { version: "v2".to_owned(), applied: true, share: 5, done: false };

        let first = Hold::take(&home, "orders").unwrap();
        assert_eq!(first.read().unwrap(), None);
        first.write(&record).unwrap();
        let said = Hold::take(&home, "orders").unwrap_err().to_string();
        assert!(said.contains("canary orders` is under way"), "{said}");
        Hold::take(&home, "catalog").unwrap();
        drop(first);

        let next = Hold::take(&home, "orders").unwrap();
        assert_eq!(next.read().unwrap(), Some(record));
        next.forget().unwrap();
        next.forget().unwrap();
        assert_eq!(next.read().unwrap(), None);
        home.remove().unwrap();
    }
}
