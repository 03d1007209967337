//! What an image says of itself: which layers it has, and which program it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::env::consts::OS;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::archive::{Archive, INDEX};
use super::elf;

/// What `docker save` has always written.
const SAVED: &str = "manifest.json";
/// How deep indexes hold others, at most.
const DEPTH: usize = 4;

/// An image.
#[derive(Debug)]
pub struct Manifest {
    /// What engines call its id: the SHA-256 of its configuration.
    pub id: String,
    pub tag: Option<String>,
    pub layers: Vec<Layer>,
    config: Config,
}

/// A layer.
#[derive(Debug)]
pub struct Layer {
    /// Its file in the archive.
    pub file: String,
    /// The SHA-256 of what it is when it is not compressed.
    pub digest: String,
}

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: Option<Running>,
    rootfs: Rootfs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Running {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Rootfs {
    diff_ids: Vec<String>,
}

/// An index, or a manifest.
#[derive(Debug, Deserialize)]
struct Listed {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// The tag of what an image is called, if it has one.
pub fn tag(reference: &str) -> Option<&str> {
    let name = reference.split('@').next()?;
    let last = name.rsplit('/').next()?;
    last.split_once(':').map(|(_, tag)| tag)
}

impl Manifest {
    /// The one image of an archive that is made for this machine.
    ///
    /// # Errors
    /// There is none, or more than one, or it does not say what it runs.
    pub fn read(archive: &Archive) -> Result<Manifest> {
        let image = match archive.has(INDEX) {
            true => Manifest::of_layout(archive)?,
            false => Manifest::of_saved(archive)?,
        };
        let Config { architecture, os, .. } = &image.config;
        ensure!(
            (&**os, &**architecture) == (OS, elf::here()),
            "it is made for {os}/{architecture}, and this machine is {OS}/{}",
            elf::here()
        );
        image.program()?;
        Ok(image)
    }

    /// The program that it runs.
    ///
    /// # Errors
    /// It names none, or one with arguments, which no service has.
    pub fn program(&self) -> Result<&str> {
        let running = self.config.config.as_ref();
        let words = |of: fn(&Running) -> &Option<Vec<String>>| {
            running.and_then(|it| of(it).as_deref()).unwrap_or_default()
        };
        let (entry, more) = (words(|it| &it.entrypoint), words(|it| &it.cmd));
        let Some((program, arguments)) = entry.split_first() else {
            bail!("it has no entrypoint: ENTRYPOINT [\"/program\"] in its Dockerfile says one");
        };
        let arguments = [arguments, more].concat().join(" ");
        ensure!(
            arguments.is_empty(),
            "its entrypoint is `{program} {arguments}`, and a service is started without arguments"
        );
        let is_path = program.starts_with('/') && !program.ends_with('/');
        ensure!(is_path, "its entrypoint `{program}` is no absolute path");
        Ok(program)
    }

    fn of_layout(archive: &Archive) -> Result<Manifest> {
        let mut found = Vec::new();
        let (index, _) = archive.json(INDEX)?;
        gather(archive, index, DEPTH, &mut found)?;
        let is_here = |it: &Platform| (&*it.os, &*it.architecture) == (OS, elf::here());
        let (fitting, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|it| it.platform.as_ref().is_none_or(is_here));
        let distinct: BTreeSet<_> = fitting.iter().map(|it| &it.digest).collect();
        ensure!(distinct.len() < 2, "it holds {} images: one is expected", distinct.len());
        let Some(one) = fitting.first() else {
            let platform = others.iter().filter_map(|it| it.platform.as_ref());
            let made: Vec<_> =
                platform.map(|it| format!("{}/{}", it.os, it.architecture)).collect();
            ensure!(!made.is_empty(), "it holds no image");
            bail!("it is made for {}, and this machine is {OS}/{}", made.join(", "), elf::here());
        };
        let named = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
        let named = named.into_iter().find_map(|name| one.annotations.get(name));
        // By the specification it may be the tag alone.
        let tag =
            named.and_then(|name| tag(name).or_else(|| (!name.contains('/')).then_some(name)));
        let listed: Listed = checked(archive, one)?;
        let config = listed.config.context("its manifest names no configuration")?;
        let files: Result<Vec<_>> = listed.layers.iter().map(blob).collect();
        let id = blob(&config)?;
        Manifest::of(&id, checked(archive, &config)?, files?, tag)
    }

    fn of_saved(archive: &Archive) -> Result<Manifest> {
        ensure!(
            archive.has(SAVED),
            "it has neither {INDEX} nor {SAVED}: it is no image; `docker save` writes one"
        );
        let (all, _): (Vec<Saved>, _) = archive.json(SAVED)?;
        let [one] = &all[..] else { bail!("it holds {} images: one is expected", all.len()) };
        let (config, id) = archive.json(&one.config)?;
        let tag = one.repo_tags.iter().flatten().find_map(|name| tag(name));
        Manifest::of(&id, config, one.layers.clone(), tag)
    }

    fn of(id: &str, config: Config, files: Vec<String>, tag: Option<&str>) -> Result<Manifest> {
        let digests = &config.rootfs.diff_ids;
        let (layers, said) = (files.len(), digests.len());
        ensure!(layers == said, "it has {layers} layers, and its configuration says {said}");
        let layer =
            |(file, digest): (String, &String)| Ok(Layer { file, digest: hex(digest)?.to_owned() });
        let layers = files.into_iter().zip(digests).map(layer).collect::<Result<_>>()?;
        let id = id.rsplit('/').next().unwrap_or(id).to_owned();
        Ok(Manifest { id, tag: tag.map(str::to_owned), layers, config })
    }
}

/// The images of an index, and of those that it holds.
fn gather(
    archive: &Archive,
    index: Listed,
    depth: usize,
    found: &mut Vec<Descriptor>,
) -> Result<()> {
    ensure!(depth > 0, "{INDEX} holds indexes that hold others without end");
    for one in index.manifests {
        let is_index = ["index.v1+json", "manifest.list.v2+json"];
        if is_index.iter().any(|end| one.media_type.ends_with(end)) {
            let mut inner: Listed = checked(archive, &one)?;
            // What it is called is said outside.
            for it in &mut inner.manifests {
                it.annotations.extend(one.annotations.clone());
            }
            gather(archive, inner, depth.saturating_sub(1), found)?;
        } else if !one.annotations.contains_key("vnd.docker.reference.type") {
            found.push(one);
        }
    }
    Ok(())
}

/// What a descriptor leads to, if it is what it says.
fn checked<T: DeserializeOwned>(archive: &Archive, at: &Descriptor) -> Result<T> {
    let file = blob(at)?;
    let (value, digest) = archive.json(&file)?;
    ensure!(hex(&at.digest)? == digest, "{file} is damaged: it is sha256:{digest}");
    Ok(value)
}

/// Where what a descriptor describes lies.
fn blob(of: &Descriptor) -> Result<String> {
    Ok(format!("blobs/sha256/{}", hex(&of.digest)?))
}

/// The digits of a digest, which are part of paths: nothing else is.
fn hex(digest: &str) -> Result<&str> {
    let hex = digest.strip_prefix("sha256:");
    let hex = hex.filter(|it| it.len() == 64 && it.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hex.with_context(|| format!("`{digest}` is no digest by SHA-256"))
}
