//! Whether the release before survives the migrations that are not published yet: while a new version is
//! rolled out, and after it was taken back, the old one works on the new tables. So migrations expand
//! first, and contract a release later: what takes something away says by `-- contract: RELEASE` which
//! published release was the first that did without it.

mod judge;
mod releases;
mod schema;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;

use crate::graph::Place;
pub use releases::{FILE, Release, Releases};
use schema::Schema;

/// How a file of SQL says that a published release does without what it takes away.
const CONTRACT: &str = "contract:";

/// A migration of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Migration {
    /// Whose it is.
    pub service: String,
    /// Its place in the order of the service's migrations.
    pub number: u64,
    /// Its file, from the root of the checkout.
    pub file: String,
    /// What it says.
    pub text: String,
}

/// A statement that the release before would not survive, or a mistake in a file's own words about that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The file, and the line that the statement begins in.
    pub place: Place,
    /// What is wrong.
    pub what: String,
    /// What to do instead.
    pub instead: String,
}

/// What was looked at, and what is wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The release that was published last; none if none was.
    pub release: Option<String>,
    /// How many migrations there are.
    pub migrations: usize,
    /// How many of them the last release does not have.
    pub unpublished: usize,
    /// What it would not survive.
    pub findings: Vec<Finding>,
}

/// Every migration of the checkout at `root`, service by service, in order.
///
/// # Errors
/// A folder or file cannot be read, a file's name has no number, or two files have the same.
pub fn of_checkout(root: &Path) -> Result<Vec<Migration>> {
    let mut found = BTreeSet::new();
    for service in names(&root.join("services"))? {
        let folder = format!("services/{service}/migrations");
        if !root.join(&folder).is_dir() {
            continue;
        }
        for name in names(&root.join(&folder))?.into_iter().filter(|name| name.ends_with(".sql")) {
            let file = format!("{folder}/{name}");
            let number = name.split('_').next().and_then(|number| number.parse().ok());
            let number = number.with_context(|| {
                format!("{file}: a migration's name begins with its number, as 0002_orders.sql")
            })?;
            let text = fs::read_to_string(root.join(&file)).with_context(|| file.clone())?;
            let migration = Migration { service: service.clone(), number, file, text };
            if let Some(twin) = found.iter().find(|it: &&Migration| {
                it.service == migration.service && it.number == migration.number
            }) {
                bail!("{}: {} has the number {number}, too", migration.file, twin.file);
            }
            found.insert(migration);
        }
    }
    ensure!(!found.is_empty(), "there are no migrations below {}/services", root.display());
    Ok(found.into_iter().collect())
}

/// The published releases of the checkout at `root`.
///
/// # Errors
/// The file is not there or says what cannot be, such as a migration that nobody has.
pub fn published(root: &Path, migrations: &[Migration]) -> Result<Releases> {
    let text = fs::read_to_string(root.join(FILE)).context(FILE)?;
    let releases = Releases::parse(&text)?;
    for (service, newest) in releases.newest().iter().flat_map(|release| &release.migrations) {
        let has_it = migrations.iter().any(|it| it.service == *service && it.number == *newest);
        ensure!(
            has_it,
            "{FILE}: the migration {newest} of {service} was published, and is not there any more"
        );
    }
    Ok(releases)
}

/// The release of `commit`, which has these migrations, for [`Release::record`].
///
/// # Errors
/// There is one of this name.
pub fn release(
    version: &str,
    commit: &str,
    migrations: &[Migration],
    releases: &Releases,
) -> Result<Release> {
    ensure!(
        !releases.published(version),
        "the release {version} was published before: choose another name"
    );
    let mut newest = BTreeMap::new();
    for migration in migrations {
        newest.insert(migration.service.clone(), migration.number);
    }
    let (version, commit) = (version.to_owned(), commit.to_owned());
    Ok(Release { version, commit, migrations: newest })
}

/// Says what the release that was published last would not survive; `migrations` in order.
pub fn lint(migrations: &[Migration], releases: &Releases) -> Report {
    let release = releases.newest();
    let mut schemas: BTreeMap<&str, Schema> = BTreeMap::new();
    let (mut unpublished, mut findings) = (0, Vec::new());
    for migration in migrations {
        let schema = schemas.entry(&migration.service).or_default();
        let known = release.and_then(|it| it.migrations.get(&migration.service).copied());
        let is_new = known.is_none_or(|known| migration.number > known);
        let script = tokens::read(&migration.text);
        let judged = Judged { migration, releases, script: &script };
        if is_new {
            unpublished += 1;
            findings.extend(judged.findings(schema));
        } else {
            script.statements.iter().for_each(|statement| schema.learn(statement, false));
        }
    }
    findings.sort();
    let release = release.map(|it| it.version.clone());
    Report { release, migrations: migrations.len(), unpublished, findings }
}

/// A migration that is not published.
struct Judged<'a> {
    migration: &'a Migration,
    releases: &'a Releases,
    script: &'a tokens::Script,
}

impl Judged<'_> {
    fn findings(&self, schema: &mut Schema) -> Vec<Finding> {
        let mut faults = Vec::new();
        for statement in &self.script.statements {
            let line = statement.first().map_or(1, |token| token.line);
            faults.extend(judge::faults(statement, schema).into_iter().map(|what| (line, what)));
            schema.learn(statement, true);
        }
        let said = self.script.comments.iter();
        let said: Vec<_> = said
            .filter_map(|(line, text)| Some((*line, text.strip_prefix(CONTRACT)?.trim())))
            .collect();
        let unknown = said.iter().filter(|(_, release)| !self.releases.published(release));
        let mut findings: Vec<_> = unknown
            .map(|(line, release)| {
                let instead = "name the published release that was the first to do without it; what none \
                               does without yet goes a release later";
                self.finding(*line, format!("{FILE} has no release `{release}`"), instead)
            })
            .collect();
        match (faults.is_empty(), said.first()) {
            (true, Some((line, _))) => findings.push(self.finding(
                *line,
                "says that it takes something away, and takes nothing".to_owned(),
                "leave the line out: it would allow what somebody adds later",
            )),
            (false, None) => findings.extend(faults.into_iter().map(|(line, what)| {
                let before = self.releases.newest().map_or("before", |it| &it.version);
                let what = format!("{what}, and the release {before} would not survive it");
                let instead = "add beside it what newer code uses, and take this away a release after the \
                               first that does without, with `-- contract: RELEASE`";
                self.finding(line, what, instead)
            })),
            _ => {}
        }
        findings
    }

    fn finding(&self, line: usize, what: String, instead: &str) -> Finding {
        let place = Place { file: self.migration.file.clone(), line };
        Finding { place, what, instead: instead.to_owned() }
    }
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let about = || format!("cannot read {}", folder.display());
    let entries = fs::read_dir(folder).with_context(about)?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.with_context(about)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
