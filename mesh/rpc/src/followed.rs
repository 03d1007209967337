//! A file that is read again, and what was last seen in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A file of this size was not written by anybody.
const LARGEST: u64 = 1 << 20;

/// A small file that somebody else changes.
///
/// It is read whole each time and compared: a few kilobytes from the page cache once a second. Its
/// times would not do, because two changes can fall into one tick of the clock that they are read
/// from, and a mounted directory is replaced behind a link.
#[derive(Debug)]
pub(crate) struct Followed {
    path: PathBuf,
    seen: Result<String, String>,
}

impl Followed {
    /// A file that must be there, and the text in it.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn open(path: &Path) -> Result<(Self, String), String> {
        let text = read(path)?;
        Ok((Self { path: path.to_owned(), seen: Ok(text.clone()) }, text))
    }

    /// What it says now, or why it cannot be read; nothing if that was seen before and nobody asked.
    pub async fn look(&mut self, is_asked: bool) -> Option<Result<&str, String>> {
        let path = self.path.clone();
        // A file system may take its time, and the service has few threads.
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        let found = read.unwrap_or_else(|error| Err(error.to_string()));
        if found == self.seen && !is_asked {
            return None;
        }
        self.seen = found;
        Some(self.seen.as_deref().map_err(Clone::clone))
    }
}

fn read(path: &Path) -> Result<String, String> {
    let size = fs::metadata(path).and_then(|file| match file.is_file() {
        true => Ok(file.len()),
        false => Err(io::Error::other("it is no file")),
    });
    match size {
        Ok(size) if size > LARGEST => Err(format!("{size} bytes are more than {LARGEST}")),
        Ok(_) => fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}")),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}
