//! Where everything of one local platform lies.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use anyhow::{Context, Result};
use uuid::Uuid;

use crate::{User, private_dir};

/// The directory of one local platform: data, logs, pid files, and the installed servers.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
    wheels: PathBuf,
}

impl Home {
    /// The home of a project: `MESH_HOME`, else `.mesh` under the project's root.
    pub fn of_project(project: &Path) -> Result<Home> {
        let root = env::var_os("MESH_HOME")
            .filter(|value| !value.is_empty())
            .map_or_else(|| project.join(".mesh"), PathBuf::from);
        let home = Home::at(&root)?;
        Ok(Home { wheels: home.root.join("venv"), ..home })
    }

    /// A home at a place of its own.
    pub fn at(root: &Path) -> Result<Home> {
        let made = fs::create_dir_all(root).and_then(|()| fs::canonicalize(root));
        let root = made.with_context(|| format!("cannot create {}", root.display()))?;
        Ok(Home { wheels: root.join("venv"), root })
    }

    /// The same home, which shares the installed servers of another.
    pub fn sharing_wheels(self, other: &Home) -> Home {
        Home { wheels: other.wheels.clone(), ..self }
    }

    /// The home's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file or directory of the home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where servers that the machine lacks are installed: a Python virtual environment.
    pub fn wheels(&self) -> &Path {
        &self.wheels
    }

    /// The directory of log files; made if missing.
    pub fn logs(&self) -> io::Result<PathBuf> {
        self.directory("logs")
    }

    /// The directory of pid files; made if missing.
    pub fn run(&self) -> io::Result<PathBuf> {
        self.directory("run")
    }

    /// The private directory `name` for a server that runs as `user`.
    ///
    /// Another user than ours might not reach the home (below `/root`, say): its directory then
    /// lies under `/var/tmp`, and the home has a link to it.
    pub fn server_dir(&self, name: &str, user: Option<&User>) -> Result<PathBuf> {
        let here = self.root.join(name);
        let Some(user) = user else {
            private_dir(&here, None).with_context(|| format!("cannot use {}", here.display()))?;
            return Ok(here);
        };
        let outside = self.outside()?;
        let there = outside.join(name);
        private_dir(&there, Some(user))
            .with_context(|| format!("cannot use {}", there.display()))?;
        link(&there, &here)?;
        Ok(there)
    }

    /// A directory which every user can pass through but only we can write; the home's own.
    pub fn outside(&self) -> Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let outside = self.outside_path();
        private_dir(&outside, None)
            .and_then(|()| fs::set_permissions(&outside, fs::Permissions::from_mode(0o711)))
            .with_context(|| format!("cannot use {}", outside.display()))?;
        Ok(outside)
    }

    /// Removes a server's directory and all its data.
    pub fn wipe(&self, name: &str) -> io::Result<()> {
        let here = self.root.join(name);
        if fs::symlink_metadata(&here).is_ok_and(|found| found.is_symlink()) {
            fs::remove_file(&here)?;
        } else {
            remove_dir(&here)?;
        }
        let outside = self.outside_path();
        remove_dir(&outside.join(name))?;
        // Stays while something else is in it.
        let _ = fs::remove_dir(outside);
        Ok(())
    }

    /// Removes the home with all its data.
    pub fn remove(&self) -> io::Result<()> {
        remove_dir(&self.root)?;
        remove_dir(&self.outside_path())
    }

    fn outside_path(&self) -> PathBuf {
        let digest = Uuid::new_v5(&Uuid::NAMESPACE_URL, self.root.as_os_str().as_encoded_bytes());
        let name = format!("mesh-{}", &digest.simple().to_string()[..12]);
        Path::new("/var/tmp").join(name)
    }

    fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.root.join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }
}

/// Makes `here` a link to `there`.
fn link(there: &Path, here: &Path) -> Result<()> {
    if fs::read_link(here).is_ok_and(|target| target == there) {
        return Ok(());
    }
    if fs::symlink_metadata(here).is_ok_and(|found| found.is_dir()) {
        anyhow::bail!(
            "{} was made by another user, and root does not run PostgreSQL: run as that user, \
             or remove the directory",
            here.display()
        );
    }
    fs::remove_file(here).or_else(ignore_missing)?;
    std::os::unix::fs::symlink(there, here)
        .with_context(|| format!("cannot link {} to {}", here.display(), there.display()))
}

fn remove_dir(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path).or_else(ignore_missing)
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
