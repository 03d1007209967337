//! The files of an image, as its layers leave them, one over the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;

use super::Hashed;
use super::archive::{Archive, inside};
use super::elf;
use super::manifest::{Layer, Manifest};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// A file whose name begins so takes away what layers below have; see the image specification.
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// How many links are followed, as Linux does.
const LINKS: usize = 40;
/// No program is larger: a layer that says so is no good.
const LARGEST: u64 = 4 << 30;

/// What is at each path.
#[derive(Debug, Default)]
pub struct Tree(BTreeMap<String, Node>);

#[derive(Clone, Debug)]
enum Node {
    File(Place),
    Link(String),
    Other,
}

/// Where a file's content is.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    layer: usize,
    /// Which entry of the layer it is.
    entry: usize,
}

/// What a layer does to those below it.
#[derive(Debug, Default)]
struct Change {
    gone: BTreeSet<String>,
    emptied: BTreeSet<String>,
    nodes: Vec<(String, Node)>,
}

impl Tree {
    /// Reads all layers, each of which has to be what the configuration says.
    ///
    /// # Errors
    /// One is not there, damaged, or compressed by something else than gzip; or names what is outside.
    pub fn read(archive: &Archive, image: &Manifest) -> Result<Tree> {
        let mut tree = Tree::default();
        for (number, layer) in image.layers.iter().enumerate() {
            let change = tree.change(archive, layer, number);
            tree.apply(change.with_context(|| format!("its layer {}", layer.file))?);
        }
        Ok(tree)
    }

    /// The file at an absolute path, and where links there lead.
    pub fn find(&self, path: &str) -> Option<Place> {
        let parts = |path: &str| path.split('/').rev().map(str::to_owned).collect::<Vec<_>>();
        let (mut rest, mut at, mut links) = (parts(path), Vec::new(), 0);
        while let Some(part) = rest.pop() {
            match &*part {
                "" | "." => continue,
                // Above the root is the root.
                ".." => drop(at.pop()),
                _ => at.push(part),
            }
            if let Some(Node::Link(target)) = self.0.get(&at.join("/")) {
                links += 1;
                if links > LINKS {
                    return None;
                }
                at.pop();
                if target.starts_with('/') {
                    at.clear();
                }
                rest.extend(parts(target));
            }
        }
        match self.0.get(&at.join("/"))? {
            Node::File(place) => Some(*place),
            _ => None,
        }
    }

    fn change(&self, archive: &Archive, layer: &Layer, number: usize) -> Result<Change> {
        let mut tar = tar::Archive::new(Hashed::new(plain(archive, layer)?));
        let mut change = Change::default();
        for (at, entry) in tar.entries()?.enumerate() {
            let entry = entry?;
            let path = inside(&String::from_utf8_lossy(&entry.path_bytes()))?;
            let target = entry.link_name_bytes();
            let target = target.map(|it| String::from_utf8_lossy(&it).into_owned());
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            if name == OPAQUE {
                change.emptied.insert(folder.to_owned());
                continue;
            }
            if let Some(name) = name.strip_prefix(WHITEOUT) {
                change.gone.insert(inside(&format!("{folder}/{name}"))?);
                continue;
            }
            let kind = entry.header().entry_type();
            let node = match target {
                Some(target) if kind.is_symlink() => Node::Link(target),
                Some(target) if kind.is_hard_link() => self.also(&change, &inside(&target)?),
                _ if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() => {
                    Node::File(Place { layer: number, entry: at })
                }
                _ => Node::Other,
            };
            change.nodes.push((path, node));
        }
        let mut rest = tar.into_inner();
        io::copy(&mut rest, &mut io::sink())?;
        let digest = rest.hex();
        ensure!(digest == layer.digest, "it is damaged: it is sha256:{digest}");
        Ok(change)
    }

    /// What is at another path, in a layer that is being read or below it.
    fn also(&self, change: &Change, path: &str) -> Node {
        let here = change.nodes.iter().rev().find(|(name, _)| name == path).map(|(_, node)| node);
        here.or_else(|| self.0.get(path)).cloned().unwrap_or(Node::Other)
    }

    fn apply(&mut self, change: Change) {
        for path in &change.gone {
            self.0.remove(path);
            self.empty(path);
        }
        for path in &change.emptied {
            self.empty(path);
        }
        for (path, node) in change.nodes {
            if !matches!(node, Node::Other) {
                self.empty(&path);
            }
            self.0.insert(path, node);
        }
    }

    /// Takes away what is below a path.
    fn empty(&mut self, path: &str) {
        let below = if path.is_empty() { String::new() } else { format!("{path}/") };
        let all = self.0.range(below.clone()..).map(|(path, _)| path.clone());
        let all: Vec<_> = all.take_while(|path| path.starts_with(&below)).collect();
        for path in all {
            self.0.remove(&path);
        }
    }
}

/// Copies a file of an image to a path outside, as a program that can be run: as a whole, or not at all.
///
/// # Errors
/// It is no program of this machine, or cannot be written.
pub fn copy(archive: &Archive, image: &Manifest, file: Place, to: &Path) -> Result<()> {
    let layer = image.layers.get(file.layer).context("its layer is gone")?;
    let mut tar = tar::Archive::new(plain(archive, layer)?);
    let entry = tar.entries()?.nth(file.entry).context("its layer has changed")??;
    ensure!(entry.size() <= LARGEST, "it has {} bytes", entry.size());
    let (mut begin, mut entry) = (Vec::new(), entry);
    entry.by_ref().take(elf::HEADER as u64).read_to_end(&mut begin)?;
    elf::check(&begin)?;

    let mut next = to.as_os_str().to_owned();
    next.push(format!(".{}.new", std::process::id()));
    let next = Path::new(&next);
    let mut options = OpenOptions::new();
    let made = options.write(true).create(true).truncate(true).mode(0o700).open(next);
    let written = made.and_then(|mut made| {
        made.write_all(&begin)?;
        io::copy(&mut entry, &mut made)?;
        fs::rename(next, to)
    });
    written.with_context(|| format!("cannot write {}", to.display()))
}

/// A layer, uncompressed.
fn plain(archive: &Archive, layer: &Layer) -> Result<Box<dyn Read>> {
    let mut begin = Vec::new();
    archive.read(&layer.file)?.take(4).read_to_end(&mut begin)?;
    let read = archive.read(&layer.file)?;
    if begin.starts_with(ZSTD) {
        bail!(
            "it is compressed by zstd, which is not read here: `docker save` writes gzip or nothing, \
             as does `skopeo copy --dest-compress-format gzip`"
        );
    }
    match begin.starts_with(GZIP) {
        true => Ok(Box::new(MultiGzDecoder::new(read))),
        false => Ok(read),
    }
}
