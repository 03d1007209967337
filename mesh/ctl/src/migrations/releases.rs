//! `releases.toml`: what was published, and how far each service's migrations had come.
//!
//! It is a file of the checkout, and not the tags of a repository or the images of a registry: whether a
//! migration may go is decided where it is written, offline, and a reviewer sees who says that a release
//! is out.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use toml::Spanned;

/// The file, from the root of the checkout.
pub const FILE: &str = "releases.toml";

/// Published releases, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Releases {
    all: Vec<Release>,
}

/// One that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its name, the tag of its images: `v1`.
    pub version: String,
    /// The commit that they were built from.
    pub commit: String,
    /// The newest migration that each service has in it; one that is not named has none.
    pub migrations: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    releases: Vec<WrittenRelease>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRelease {
    version: Spanned<String>,
    commit: String,
    migrations: Spanned<BTreeMap<String, u64>>,
}

impl Releases {
    /// Reads the text of the file.
    ///
    /// # Errors
    /// It cannot be read, two releases have one name, or one has fewer migrations than that before it.
    pub fn parse(text: &str) -> Result<Releases> {
        let written: Written = toml::from_str(text).context(FILE)?;
        let mut releases = Releases::default();
        for WrittenRelease { version, commit, migrations } in written.releases {
            let at = |span: Range<usize>| {
                format!("{FILE}:{}", text[..span.start].lines().count().max(1))
            };
            let name = version.get_ref();
            if releases.published(name) {
                bail!("{}: the release {name} is there twice", at(version.span()));
            }
            for (service, known) in releases.newest().iter().flat_map(|it| &it.migrations) {
                let now = migrations.get_ref().get(service).copied().unwrap_or_default();
                if now < *known {
                    bail!(
                        "{}: {service} has migration {known} in the release before {name}, and {now} in it: \
                         migrations are never taken back",
                        at(migrations.span())
                    );
                }
            }
            let (version, migrations) = (version.into_inner(), migrations.into_inner());
            releases.all.push(Release { version, commit, migrations });
        }
        Ok(releases)
    }

    /// Whether there is one of this name.
    pub fn published(&self, version: &str) -> bool {
        self.all.iter().any(|release| release.version == version)
    }

    /// The one that was published last.
    pub fn newest(&self) -> Option<&Release> {
        self.all.last()
    }
}

impl Release {
    /// What is to be written at the end of the file when it is published.
    pub fn record(&self) -> String {
        let of = |(service, newest): (&String, &u64)| format!("{service} = {newest}");
        let migrations: Vec<_> = self.migrations.iter().map(of).collect();
        format!(
            "\n[[releases]]\nversion = \"{}\"\ncommit = \"{}\"\nmigrations = {{ {} }}\n",
            self.version,
            self.commit,
            migrations.join(", ")
        )
    }
}
