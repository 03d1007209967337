//! The programs of a cluster, built once into a cache that all checkouts share.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::process::Command;

use super::envoy;
use super::modules::{BOOTSTRAP, Copy, DEFINITIONS, MODULES, Module, Program};
use crate::{Home, Progress, servers};

const WAY_OUT: &str = "install Go 1.26 or newer from https://go.dev/dl, and put `go` on PATH";

/// Where the programs of a cluster are, and what they read.
#[derive(Clone, Debug)]
pub struct Tools {
    cache: PathBuf,
    /// The proxy of every sidecar.
    pub envoy: PathBuf,
}

impl Tools {
    /// Finds everything in `cache`; builds, downloads and installs what is not there, and says so. What
    /// an end interrupts is gone on with the next time. Safe for several processes at once.
    ///
    /// # Errors
    /// Go or Python is missing, or the sources cannot be had: with what to do.
    pub async fn find(cache: &Path, progress: &mut Progress) -> Result<Tools> {
        fs::create_dir_all(cache).with_context(|| format!("cannot use {}", cache.display()))?;
        if !missing(cache).is_empty() {
            let path = cache.join("lock");
            let lock = File::create(&path);
            let mut lock = lock.with_context(|| format!("cannot create {}", path.display()))?;
            if lock.try_lock().is_err() {
                progress.step("waiting until another process has built what a cluster needs");
                lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
            }
            build_all(cache, progress).await?;
            lock.unlock()?;
        }
        Ok(Tools { cache: cache.to_owned(), envoy: envoy::find(cache, progress).await? })
    }

    /// Those of a cluster that was started with them.
    pub(super) fn at(cache: &Path, envoy: &Path) -> Tools {
        Tools { cache: cache.to_owned(), envoy: envoy.to_owned() }
    }

    /// Where they are kept.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// What would have to be built first; nothing if a cluster can be started at once.
    pub fn missing(cache: &Path) -> Vec<&'static str> {
        let envoy = envoy::known(cache).is_none().then_some("envoy");
        missing(cache).into_iter().chain(envoy).collect()
    }

    /// One of the programs, if it is built already; without looking for anything else.
    ///
    /// # Panics
    /// If there is no such program.
    pub fn built(cache: &Path, name: &str) -> Option<PathBuf> {
        let program = program(cache, name);
        program.is_file().then_some(program)
    }

    /// Where they are kept for all checkouts.
    ///
    /// # Errors
    /// The environment does not say where the user's cache is.
    pub fn cache_of_user() -> Result<PathBuf> {
        Home::cache_of_user("cluster")
    }

    /// One of the programs, such as `kubectl`.
    ///
    /// # Panics
    /// If there is no such program.
    pub fn program(&self, name: &str) -> PathBuf {
        program(&self.cache, name)
    }

    /// The folders with the definitions of what Kubernetes does not know by itself.
    pub fn definitions(&self) -> Vec<PathBuf> {
        let folders = MODULES.iter().map(|it| self.cache.join(it.folder()).join(DEFINITIONS));
        folders.filter(|folder| folder.is_dir()).collect()
    }

    /// What a sidecar's first configuration is made from.
    pub fn bootstrap(&self) -> PathBuf {
        let folders = MODULES.iter().map(|it| self.cache.join(it.folder()).join(BOOTSTRAP));
        let mut files = folders.map(|folder| folder.join("envoy_bootstrap.json"));
        files.find(|file| file.is_file()).unwrap_or_default()
    }
}

fn program(cache: &Path, name: &str) -> PathBuf {
    let module = MODULES.iter().find(|it| it.programs.iter().any(|it| it.name == name));
    let module = module.unwrap_or_else(|| panic!("`{name}` is no program of a cluster"));
    cache.join(module.folder()).join(name)
}

fn missing(cache: &Path) -> Vec<&'static str> {
    let lacks = |module: &Module| {
        let folder = cache.join(module.folder());
        let programs = module.programs.iter().map(|it| it.name);
        let mut names: Vec<_> = programs.filter(|name| !folder.join(name).is_file()).collect();
        let copied = |copy: &Copy| copy.files.iter().all(|it| place(&folder, copy, it).is_file());
        if !module.copies.iter().all(copied) {
            names.push(module.name);
        }
        names
    };
    MODULES.iter().flat_map(lacks).collect()
}

async fn build_all(cache: &Path, progress: &mut Progress) -> Result<()> {
    let go = go()?;
    let count: usize = MODULES.iter().map(|module| module.programs.len()).sum();
    let mut number = 0;
    for module in &MODULES {
        let folder = cache.join(module.folder());
        let sources = folder.join("module");
        fs::create_dir_all(&sources)?;
        for (name, text) in module.files() {
            fs::write(sources.join(name), text)?;
        }
        let go = Go { program: &go, sources: &sources };
        for program in module.programs {
            number += 1;
            let built = folder.join(program.name);
            if !built.is_file() {
                progress.step(format!(
                    "building {} ({number} of {count}, up to {})",
                    program.name, program.minutes
                ));
                go.build(program, &built).await?;
            }
        }
        for copy in module.copies {
            if !copy.files.iter().all(|it| place(&folder, copy, it).is_file()) {
                progress.step(format!("copying files of {}", copy.dependency));
                go.copy(copy, &folder).await?;
            }
        }
    }
    Ok(())
}

/// Go, at work on one module.
struct Go<'a> {
    program: &'a Path,
    sources: &'a Path,
}

/// What `go mod download -json` says of a dependency.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    dir: PathBuf,
}

impl Go<'_> {
    /// A program is there as a whole or not at all.
    async fn build(&self, program: &Program, to: &Path) -> Result<()> {
        let next = to.with_extension("next");
        let flags = ["build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags"];
        let mut arguments: Vec<&OsStr> = flags.iter().map(OsStr::new).collect();
        let linked = program.linked();
        arguments.extend([OsStr::new(&linked), OsStr::new("-o"), next.as_os_str()]);
        arguments.push(OsStr::new(program.package));
        let failed = || format!("{} does not build", program.name);
        self.run(&arguments).await.with_context(failed)?;
        fs::rename(&next, to).with_context(|| format!("cannot write {}", to.display()))
    }

    async fn copy(&self, copy: &Copy, folder: &Path) -> Result<()> {
        let arguments = ["mod", "download", "-json", copy.dependency].map(OsStr::new);
        let output = self.run(&arguments).await;
        let output = output.with_context(|| format!("{} cannot be had", copy.dependency))?;
        let found: Downloaded = serde_json::from_slice(&output.stdout)?;
        for file in copy.files {
            let (from, to) = (found.dir.join(file), place(folder, copy, file));
            let next = to.with_extension("next");
            let copied = fs::create_dir_all(folder.join(copy.to))
                .and_then(|()| fs::write(&next, fs::read(&from)?))
                .and_then(|()| fs::rename(&next, &to));
            copied.with_context(|| format!("cannot copy {}", from.display()))?;
        }
        Ok(())
    }

    /// `go.sum` says which sources are meant: Go refuses any others.
    async fn run(&self, arguments: &[&OsStr]) -> Result<Output> {
        let mut command = Command::new(self.program);
        command.args(arguments).current_dir(self.sources).stdin(Stdio::null());
        // Without C: one compiler less that has to be there.
        command.envs([("CGO_ENABLED", "0"), ("GOWORK", "off")]).kill_on_drop(true);
        let output = command.output().await.context("cannot run Go")?;
        if output.status.success() {
            return Ok(output);
        }
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        // Of what it downloads it tells before.
        let lines: Vec<_> = said.lines().filter(|it| !it.starts_with("go: downloading")).collect();
        bail!("Go says\n{}\n(it downloads from GOPROXY; {WAY_OUT})", lines.join("\n"))
    }
}

/// Where a copied file lies.
fn place(folder: &Path, copy: &Copy, file: &str) -> PathBuf {
    let name = Path::new(file).file_name().unwrap_or_default();
    folder.join(copy.to).join(name)
}

fn go() -> Result<PathBuf> {
    match servers::on_path("go").next() {
        Some(found) => Ok(found),
        None => bail!(
            "a cluster's programs are built by Go, which is not here: {WAY_OUT}; it takes 10 minutes \
             and 8 GB once, and seconds later"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_lacks_everything_until_it_is_there_as_a_whole() {
        let cache = std::env::temp_dir().join(format!("tools-{}", uuid::Uuid::new_v4().simple()));
        let all = missing(&cache);
        assert!(all.contains(&"kubectl") && all.contains(&"crds") && all.len() > 7, "{all:?}");

        let kubernetes = MODULES.iter().find(|it| it.name == "kubernetes").unwrap();
        let folder = cache.join(kubernetes.folder());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("kubectl"), "").unwrap();
        fs::write(folder.join("kube-apiserver.next"), "").unwrap();

        let fewer = missing(&cache);
        assert!(!fewer.contains(&"kubectl") && fewer.contains(&"kube-apiserver"), "{fewer:?}");
        fs::remove_dir_all(&cache).unwrap();
    }
}
