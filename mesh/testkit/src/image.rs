//! Images of containers, made without an engine.

use std::fs::File;
use std::io::{Result, Write};
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What one layer adds: names as they are written, also such as no engine writes.
#[derive(Clone, Copy, Debug)]
pub enum Added<'a> {
    /// A program or another file.
    File(&'a str, &'a [u8]),
    /// A name that leads to another.
    Link(&'a str, &'a str),
    /// Another name of the same file.
    Hard(&'a str, &'a str),
}

/// An image that is being made.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its configuration; its layers are added when it is written.
    pub config: Value,
    /// What it is called.
    pub tag: String,
    /// Its layers, and the digest of each when it is not compressed.
    layers: Vec<(Vec<u8>, String)>,
}

impl Image {
    /// One of this machine, without layers yet, that runs a program.
    pub fn running(program: &str, tag: &str) -> Image {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = json!({ "architecture": architecture, "os": std::env::consts::OS,
                             "config": { "Entrypoint": [program], "User": "65532:65532" } });
        Image { config, tag: tag.to_owned(), layers: Vec::new() }
    }

    /// With one layer more on top.
    ///
    /// # Errors
    /// The tar cannot be made.
    pub fn with(mut self, added: &[Added<'_>]) -> Result<Image> {
        let tar = layer(added)?;
        let hash = sha256(&tar);
        self.layers.push((tar, hash));
        Ok(self)
    }

    /// With the topmost layer compressed.
    ///
    /// # Errors
    /// It cannot be.
    pub fn compressed(mut self) -> Result<Image> {
        if let Some((top, _)) = self.layers.last_mut() {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(top)?;
            *top = gzip.finish()?;
        }
        Ok(self)
    }

    /// With other bytes as its topmost layer, whatever its configuration says.
    pub fn damaged(mut self, bytes: &[u8]) -> Image {
        if let Some((top, _)) = self.layers.last_mut() {
            bytes.clone_into(top);
        }
        self
    }

    /// Writes the tar of an OCI image layout.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        Image::write_all(path, std::slice::from_ref(self))
    }

    /// Writes several images into one layout, each for the platform of its configuration.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_all(path: &Path, images: &[Image]) -> Result<()> {
        let (mut blobs, mut manifests) = (Vec::new(), Vec::new());
        for image in images {
            let mut described = |media: &str, bytes: Vec<u8>| {
                let hash = sha256(&bytes);
                let it = json!({ "mediaType": media, "digest": format!("sha256:{hash}"), "size": bytes.len() });
                blobs.push((format!("blobs/sha256/{hash}"), bytes));
                it
            };
            let of_layer = |(bytes, _): &(Vec<u8>, String)| {
                described("application/vnd.oci.image.layer.v1.tar", bytes.clone())
            };
            let layers: Vec<_> = image.layers.iter().map(of_layer).collect();
            let config = image.whole_config().to_string().into_bytes();
            let config = described("application/vnd.oci.image.config.v1+json", config);
            let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
            let mut manifest = described(MANIFEST, manifest.to_string().into_bytes());
            manifest["platform"] =
                json!({ "architecture": image.config["architecture"], "os": image.config["os"] });
            manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": image.tag });
            manifests.push(manifest);
        }
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        let layout = json!({ "imageLayoutVersion": "1.0.0" }).to_string();
        blobs.push(("oci-layout".to_owned(), layout.into_bytes()));
        blobs.push(("index.json".to_owned(), index.to_string().into_bytes()));
        pack(path, &blobs)
    }

    /// Writes what `docker save` wrote before it knew layouts.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_saved(&self, path: &Path) -> Result<()> {
        let config = self.whole_config().to_string().into_bytes();
        let names: Vec<_> = (0..self.layers.len()).map(|n| format!("{n}/layer.tar")).collect();
        let name = format!("{}.json", sha256(&config));
        let manifest = json!([{ "Config": name, "RepoTags": [format!("docker.io/shop/it:{}", self.tag)],
                                "Layers": names }]);
        let mut files = vec![(name, config)];
        let layers = self.layers.iter().map(|(bytes, _)| bytes.clone());
        files.extend(names.into_iter().zip(layers));
        files.push(("manifest.json".to_owned(), manifest.to_string().into_bytes()));
        pack(path, &files)
    }

    fn whole_config(&self) -> Value {
        let ids: Vec<_> = self.layers.iter().map(|(_, hash)| format!("sha256:{hash}")).collect();
        let mut config = self.config.clone();
        config["rootfs"] = json!({ "type": "layers", "diff_ids": ids });
        config
    }
}

fn layer(added: &[Added<'_>]) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for one in added {
        let (name, kind, target, content): (_, _, _, &[u8]) = match *one {
            Added::File(name, content) => (name, EntryType::Regular, "", content),
            Added::Link(name, target) => (name, EntryType::Symlink, target, &[]),
            Added::Hard(name, target) => (name, EntryType::Link, target, &[]),
        };
        let mut header = Header::new_gnu();
        // As it is: the crate would refuse what leads outside.
        let fields = header.as_old_mut();
        for (field, text) in [(&mut fields.name, name), (&mut fields.linkname, target)] {
            field.iter_mut().zip(text.bytes()).for_each(|(field, byte)| *field = byte);
        }
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content)?;
    }
    tar.into_inner()
}

fn pack(path: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    let mut tar = Builder::new(File::create(path)?);
    for (name, content) in files {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, &content[..])?;
    }
    tar.finish()
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
