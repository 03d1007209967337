//! Files that only their owner may read, whole replacements, copies, tails.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

use crate::User;

/// Makes a directory (and its parents) that only its owner may enter, for `owner` if given.
///
/// Refuses one that is a link or belongs to somebody else: in a shared folder like `/var/tmp`
/// anybody could have put it there.
pub fn private_dir(path: &Path, owner: Option<&User>) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            if let Some(user) = owner {
                chown(path, Some(user.uid), Some(user.gid))?;
            }
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(path)?;
            let uid = owner.map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid);
            if found.is_dir() && found.uid() == uid {
                return Ok(());
            }
            Err(io::Error::other(format!(
                "{} is not a directory of user id {uid}: remove it, or run as its owner",
                path.display()
            )))
        }
        Err(error) => Err(error),
    }
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, content: &str) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(content.as_bytes())
}

/// Replaces a file as a whole: a reader sees the old content or the new, never a part.
pub fn replace(path: &Path, content: &str) -> io::Result<()> {
    let mut next = path.as_os_str().to_owned();
    next.push(format!(".{}.new", std::process::id()));
    let next = Path::new(&next);
    write_private(next, content)?;
    fs::rename(next, path)
}

/// Copies a directory with all that it holds; links become what they point to.
pub fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if fs::metadata(entry.path())?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// The last lines of a file, for an error message; empty if it cannot be read.
pub fn tail(path: &Path, lines: usize) -> String {
    let read = || -> io::Result<String> {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(16 * 1024)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
