//! The ordinary user that PostgreSQL runs as when we are root.

use std::fs;

use anyhow::{Context, Result};

/// An account of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
}

impl User {
    /// The account to switch to for servers that refuse to run as root: `postgres`, else `nobody`.
    /// `None` if we are not root.
    pub fn unprivileged() -> Result<Option<User>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        ["postgres", "nobody"].iter().find_map(|name| find(&accounts, name)).map(Some).context(
            "PostgreSQL does not run as root, and /etc/passwd has neither `postgres` nor \
                 `nobody`: add one, or run this as an ordinary user",
        )
    }
}

fn find(accounts: &str, name: &str) -> Option<User> {
    accounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let user = User {
            name: fields.first()?.to_string(),
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
        };
        (user.name == name && user.uid != 0).then_some(user)
    })
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts = "root:x:0:0::/:/bin/sh\nnobody2:x:7:7::/:\nnobody:x:65534:65533:n:/:/bin/f";

        let user = find(accounts, "nobody").unwrap();

        assert_eq!((user.uid, user.gid), (65534, 65533));
        assert_eq!(find(accounts, "root"), None);
    }
}
