//! The program of an image: taken out of it, so that it runs here as any other does. An image is known to
//! this machine's engine, or lies in an archive or a folder, for which no engine is needed.

mod archive;
mod elf;
mod engine;
mod layers;
mod manifest;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use aws_lc_rs::digest::{Context as Hash, SHA256};
use mesh_local::{Home, private_dir};
use meshctl::services;

use archive::Archive;
use layers::Tree;
use manifest::Manifest;

/// Where in a home programs of images lie, each in a folder that is called by its image's id.
const FOLDER: &str = "images";

/// An image that there is.
#[derive(Debug)]
pub struct Image {
    asked: String,
    tag: Option<String>,
    lies: Lies,
}

#[derive(Debug)]
enum Lies {
    In(PathBuf),
    With(&'static str),
}

impl Image {
    /// Finds it: a file or a folder of this path, else what an engine knows by this name.
    ///
    /// # Errors
    /// There is no such image, or it is for other machines, or says not which program it runs.
    pub async fn find(asked: &str) -> Result<Image> {
        let found = match archive::is_path(asked) {
            true => Image::in_file(asked),
            false => Image::of_engine(asked).await,
        };
        found.with_context(|| format!("--image {asked}"))
    }

    fn in_file(asked: &str) -> Result<Image> {
        let path = std::path::absolute(asked)?;
        let tag = Manifest::read(&Archive::open(&path)?)?.tag;
        Ok(Image { asked: asked.to_owned(), tag, lies: Lies::In(path) })
    }

    async fn of_engine(asked: &str) -> Result<Image> {
        let engine = engine::that_knows(asked).await?;
        let tag = manifest::tag(asked).map(str::to_owned);
        Ok(Image { asked: asked.to_owned(), tag, lies: Lies::With(engine) })
    }

    /// What it calls itself, if a version can be called so.
    pub fn version(&self) -> Option<&str> {
        self.tag.as_deref().filter(|tag| services::check_version(tag).is_ok())
    }

    /// Puts its program into the home, where it outlives whoever asks.
    ///
    /// # Errors
    /// Its engine does not hand it over, it is damaged, or what it runs is no program of this machine.
    pub async fn program(&self, home: &Home, service: &str) -> Result<PathBuf> {
        let program = self.taken(home, service).await;
        program.with_context(|| format!("--image {}", self.asked))
    }

    async fn taken(&self, home: &Home, service: &str) -> Result<PathBuf> {
        let folder = home.path(FOLDER);
        private_dir(&folder, None).with_context(|| format!("cannot use {}", folder.display()))?;
        let engine = match &self.lies {
            Lies::In(path) => return extract(path, &folder),
            Lies::With(engine) => engine,
        };
        // One walks a service at a time: what one that was killed has left is written anew.
        let saved = folder.join(format!("{service}.tar"));
        remove(&saved)?;
        let program = match engine::save(engine, &self.asked, &saved).await {
            Ok(()) => extract(&saved, &folder),
            Err(error) => Err(error),
        };
        remove(&saved)?;
        program
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "image {}", self.asked)
    }
}

/// Puts the program of an image that lies there into a folder of its own below this one.
fn extract(path: &Path, folder: &Path) -> Result<PathBuf> {
    let archive = Archive::open(path)?;
    let image = Manifest::read(&archive)?;
    let entry = image.program()?;
    let tree = Tree::read(&archive, &image)?;
    let file = tree.find(entry).with_context(|| {
        format!("its entrypoint {entry} is in none of its {} layers", image.layers.len())
    })?;
    let own = folder.join(&image.id);
    private_dir(&own, None).with_context(|| format!("cannot use {}", own.display()))?;
    let name = Path::new(entry).file_name().unwrap_or_else(|| "program".as_ref());
    let program = own.join(name);
    let copied = layers::copy(&archive, &image, file, &program);
    copied.with_context(|| format!("its entrypoint {entry}"))?;
    Ok(program)
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// What is read, and its SHA-256 up to there.
struct Hashed<R> {
    inner: R,
    hash: Hash,
}

impl<R: Read> Hashed<R> {
    fn new(inner: R) -> Hashed<R> {
        Hashed { inner, hash: Hash::new(&SHA256) }
    }

    fn hex(self) -> String {
        self.hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}
