//! Where everything of one local platform lies.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use anyhow::{Context, Result};
use uuid::Uuid;

use crate::{User, private_dir};

/// The folder of a user's cache with all that is kept there.
const CACHE: &str = "shopmesh";
/// Where a home keeps what another user has to reach.
const OUTSIDE: &str = "/var/tmp";
const PREFIX: &str = "mesh-";
/// The file in a home that names its directory there, and the file there that names the home.
const ID: &str = "outside.id";
const HOME: &str = "home";

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

    /// The folder `name` of what is kept in the user's cache, beside all homes: every checkout shares it.
    ///
    /// # Errors
    /// The environment does not say where that is.
    pub fn cache_of_user(name: &str) -> Result<PathBuf> {
        let set = |name: &str| env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
        let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
        let cache = cache.context("neither XDG_CACHE_HOME nor HOME says where to keep programs")?;
        Ok(cache.join(CACHE).join(name))
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
    /// lies under `/var/tmp`, and the home has a link to it. Where exactly is written in the home,
    /// so that it goes along when the home is moved, and a home that is made where another one was
    /// does not meet the other's data.
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
        let outside = self.outside_of_its_own()?;
        private_dir(&outside, None)
            .and_then(|()| fs::set_permissions(&outside, fs::Permissions::from_mode(0o711)))
            .and_then(|()| fs::write(outside.join(HOME), self.root.as_os_str().as_bytes()))
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
        match self.outside_path()? {
            Some(outside) => {
                remove_dir(&outside.join(name))?;
                remove_if_bare(&outside)
            }
            None => Ok(()),
        }
    }

    /// Removes the home with all its data.
    pub fn remove(&self) -> io::Result<()> {
        if let Some(outside) = self.outside_path()? {
            remove_dir(&outside)?;
        }
        remove_dir(&self.root)
    }

    /// The directories under `/var/tmp` whose homes are gone, with the path where each was: what
    /// stays when somebody deletes a project that root ran.
    pub fn abandoned() -> Vec<(PathBuf, PathBuf)> {
        let Ok(entries) = fs::read_dir(OUTSIDE) else { return Vec::new() };
        let outside = entries.flatten().map(|entry| entry.path());
        outside.filter_map(|outside| Some((home_of_abandoned(&outside)?, outside))).collect()
    }

    /// Where the home's directory for other users is, if it ever had one.
    fn outside_path(&self) -> io::Result<Option<PathBuf>> {
        match fs::read_to_string(self.root.join(ID)) {
            Ok(id) => Ok(Some(outside_named(&id))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same; drawn now if the home has none.
    fn outside_of_its_own(&self) -> Result<PathBuf> {
        let id = Uuid::new_v4().simple().to_string();
        let draft = self.root.join(format!("{ID}.{id}"));
        // A link appears whole or not at all, and only the first one stays.
        let linked = fs::write(&draft, &id[..12])
            .and_then(|()| fs::hard_link(&draft, self.root.join(ID)))
            .or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Ok(()),
                _ => Err(error),
            });
        let _ = fs::remove_file(&draft);
        linked.with_context(|| format!("cannot write to {}", self.root.display()))?;
        self.outside_path()?.with_context(|| format!("{} was taken away", self.root.display()))
    }

    fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.root.join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }
}

fn outside_named(id: &str) -> PathBuf {
    Path::new(OUTSIDE).join(format!("{PREFIX}{}", id.trim()))
}

/// The home that this directory was made for, if that home does not know it any more.
fn home_of_abandoned(outside: &Path) -> Option<PathBuf> {
    let id = outside.file_name()?.to_str()?.strip_prefix(PREFIX)?;
    let home = PathBuf::from(OsString::from_vec(fs::read(outside.join(HOME)).ok()?));
    let known = fs::read_to_string(home.join(ID)).is_ok_and(|known| known.trim() == id);
    (!known).then_some(home)
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

/// Removes a directory outside that holds nothing but the name of its home.
fn remove_if_bare(outside: &Path) -> io::Result<()> {
    let Ok(mut entries) = fs::read_dir(outside) else { return Ok(()) };
    if entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == HOME)) {
        remove_dir(outside)?;
    }
    Ok(())
}

fn remove_dir(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path).or_else(ignore_missing)
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::{env, fs};

    use uuid::Uuid;

    use super::Home;

    /// An empty directory, removed at the end.
    struct Place(PathBuf);

    impl Place {
        fn new() -> Place {
            let place = env::temp_dir().join(format!("home-{}", Uuid::new_v4().simple()));
            fs::create_dir(&place).unwrap();
            Place(place)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_home_made_where_another_was_deleted_has_nothing_of_the_other() {
        let place = Place::new();
        let root = place.0.join("home");
        let first = Home::at(&root).unwrap().outside().unwrap();
        fs::write(first.join("data"), "of the first").unwrap();
        assert_eq!(Home::at(&root).unwrap().outside().unwrap(), first, "it is kept");

        fs::remove_dir_all(&root).unwrap();
        let gone = (fs::canonicalize(&place.0).unwrap().join("home"), first.clone());
        assert!(Home::abandoned().contains(&gone), "it is found");
        let second = Home::at(&root).unwrap();
        let others = second.outside().unwrap();

        assert_ne!(others, first);
        assert!(Home::abandoned().contains(&gone), "it is still not the new home's");
        fs::remove_dir_all(&first).unwrap();
        second.remove().unwrap();
        assert!(!others.exists());
    }

    #[test]
    fn a_moved_home_keeps_what_it_has_outside() {
        let place = Place::new();
        let before = Home::at(&place.0.join("before")).unwrap().outside().unwrap();

        fs::rename(place.0.join("before"), place.0.join("after")).unwrap();
        let home = Home::at(&place.0.join("after")).unwrap();

        assert_eq!(home.outside().unwrap(), before);
        assert!(!Home::abandoned().iter().any(|(_, outside)| *outside == before));
        home.remove().unwrap();
    }
}
