//! What images come in: a folder (OCI image layout), a tar of one, or what `docker save` writes. Nothing of
//! it is written anywhere by the names that it has inside.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;

use super::Hashed;

pub const INDEX: &str = "index.json";
/// A manifest is some kilobytes: more is no manifest.
const LONGEST_TEXT: u64 = 8 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// How many links lead to what one stands for, at most.
const LINKS: usize = 8;

/// The files that an image consists of, by name.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    /// Where in the file each lies; none in a folder.
    places: Option<BTreeMap<String, Place>>,
}

#[derive(Debug)]
enum Place {
    At { from: u64, size: u64 },
    Link(String),
}

/// Whether this is a path, and not what an engine calls an image.
pub fn is_path(asked: &str) -> bool {
    let path = Path::new(asked);
    let looks = ["/", "./", "../"].iter().any(|begin| asked.starts_with(begin));
    looks || path.is_file() || path.join(INDEX).is_file()
}

/// A path below a root, without `.` and doubled slashes.
///
/// # Errors
/// It leads out of there.
pub fn inside(path: &str) -> Result<String> {
    let parts: Vec<_> = path.split('/').filter(|part| !["", "."].contains(part)).collect();
    ensure!(!parts.contains(&".."), "it holds `{path}`, which leads out of it: nothing is taken");
    Ok(parts.join("/"))
}

impl Archive {
    /// Opens it.
    ///
    /// # Errors
    /// It is not there, or neither a folder nor a tar.
    pub fn open(path: &Path) -> Result<Archive> {
        ensure!(path.exists(), "there is no {}", path.display());
        if path.is_dir() {
            let is_layout = path.join(INDEX).is_file();
            ensure!(is_layout, "{} has no {INDEX}: it is no OCI image layout", path.display());
            return Ok(Archive { path: path.to_owned(), places: None });
        }
        let mut begin = Vec::new();
        let read = File::open(path).and_then(|file| file.take(2).read_to_end(&mut begin));
        read.with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(begin != GZIP, "{0} is compressed: `gunzip {0}` first", path.display());
        let places = places(path).with_context(|| format!("{} is no tar", path.display()))?;
        Ok(Archive { path: path.to_owned(), places: Some(places) })
    }

    /// Whether it has such a file.
    pub fn has(&self, name: &str) -> bool {
        match &self.places {
            Some(places) => places.contains_key(name),
            None => self.path.join(name).is_file(),
        }
    }

    /// One of its files.
    ///
    /// # Errors
    /// It has none of this name.
    pub fn read(&self, name: &str) -> Result<Box<dyn Read>> {
        let missing = || format!("{} has no {name}: it is not whole", self.path.display());
        let name = inside(name)?;
        let Some(places) = &self.places else {
            let file = File::open(self.path.join(&name)).with_context(missing)?;
            return Ok(Box::new(BufReader::new(file)));
        };
        let mut name = &name;
        for _ in 0..LINKS {
            match places.get(name).with_context(missing)? {
                Place::Link(target) => name = target,
                Place::At { from, size } => {
                    let mut file = File::open(&self.path).with_context(missing)?;
                    file.seek(SeekFrom::Start(*from))?;
                    return Ok(Box::new(BufReader::new(file).take(*size)));
                }
            }
        }
        bail!("{}: {name} is a link to itself", self.path.display())
    }

    /// One of its files that is JSON, and the SHA-256 of its text.
    ///
    /// # Errors
    /// There is none, or it says something else.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<(T, String)> {
        let (mut text, mut file) = (Vec::new(), Hashed::new(self.read(name)?.take(LONGEST_TEXT)));
        let cannot = || format!("{}: {name}", self.path.display());
        file.read_to_end(&mut text).with_context(cannot)?;
        Ok((serde_json::from_slice(&text).with_context(cannot)?, file.hex()))
    }
}

/// Where each file of a tar lies in it.
fn places(path: &Path) -> Result<BTreeMap<String, Place>> {
    let mut tar = tar::Archive::new(BufReader::new(File::open(path)?));
    let mut places = BTreeMap::new();
    for entry in tar.entries_with_seek()? {
        let entry = entry?;
        let name = inside(&String::from_utf8_lossy(&entry.path_bytes()))?;
        let target = entry.link_name_bytes();
        let target = target.map(|it| String::from_utf8_lossy(&it).into_owned());
        let kind = entry.header().entry_type();
        let place = match target {
            Some(target) if kind.is_hard_link() => Place::Link(inside(&target)?),
            Some(target) if kind.is_symlink() => Place::Link(beside(&name, &target)),
            _ => Place::At { from: entry.raw_file_position(), size: entry.size() },
        };
        if !kind.is_dir() {
            places.insert(name, place);
        }
    }
    Ok(places)
}

/// What a link to a name beside it leads to; what leads out of the archive is none of its names.
fn beside(link: &str, target: &str) -> String {
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
