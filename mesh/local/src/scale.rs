//! How large a service is, and who may reach it: `[scale]`, `exposure` and `versions` of its
//! `mesh.toml`.

use std::ops::{Range, RangeInclusive};

use anyhow::{Result, bail, ensure};
use serde::Deserialize;
use toml::Spanned;

/// More processes than this share no database any more.
const REPLICAS: RangeInclusive<u32> = 1..=100;
const MIB_OF: [(&str, u64); 2] = [("Gi", 1024), ("Mi", 1)];

/// Who may reach a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exposure {
    /// Services that declare calls to it, and nobody outside.
    #[default]
    Mesh,
    /// Besides those, customers, through a service that is `public`.
    Gateway,
    /// Everybody: it is the way in.
    Public,
}

/// How many processes of a service run, and what each is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// However little there is to do, so many.
    pub min_replicas: u32,
    /// However much there is to do, so many.
    pub max_replicas: u32,
    /// Thousandths of a processor that are kept for each.
    pub cpu_milli: u64,
    /// MiB that are kept for each.
    pub memory_mib: u64,
    /// With more MiB than these it is killed.
    pub memory_limit_mib: u64,
    /// Calls a second above which there should be one more.
    pub calls_per_second: u32,
}

impl Default for Scale {
    fn default() -> Self {
        Self {
            min_replicas: 2,
            max_replicas: 6,
            cpu_milli: 100,
            memory_mib: 64,
            memory_limit_mib: 256,
            calls_per_second: 500,
        }
    }
}

/// `[scale]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    replicas: Option<Spanned<Replicas>>,
    cpu: Option<Spanned<String>>,
    memory: Option<Memory>,
    calls_per_second: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replicas {
    min: u32,
    max: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    request: Spanned<String>,
    limit: Spanned<String>,
}

/// Reads the `[scale]` of one file, `text`; what it does not say has its default.
pub(crate) fn read(text: &str, written: Option<Written>) -> Result<Scale> {
    let mut scale = Scale::default();
    let Some(written) = written else { return Ok(scale) };
    if let Some(replicas) = written.replicas {
        let (at, Replicas { min, max }) = (line(text, replicas.span()), replicas.into_inner());
        let (least, most) = (REPLICAS.start(), REPLICAS.end());
        ensure!(
            min <= max && REPLICAS.contains(&min) && REPLICAS.contains(&max),
            "line {at}: replicas = {{ min = {min}, max = {max} }}: {least} to {most} are expected, and \
             min no greater than max"
        );
        (scale.min_replicas, scale.max_replicas) = (min, max);
    }
    if let Some(cpu) = written.cpu {
        scale.cpu_milli = quantity(text, &cpu, "cpu", "\"250m\" or \"2\"", milli)?;
    }
    if let Some(memory) = written.memory {
        let read = |field, name| quantity(text, field, name, "\"64Mi\" or \"1Gi\"", mib);
        scale.memory_mib = read(&memory.request, "memory.request")?;
        scale.memory_limit_mib = read(&memory.limit, "memory.limit")?;
        if scale.memory_limit_mib < scale.memory_mib {
            let at = line(text, memory.limit.span());
            bail!("line {at}: memory.limit is less than memory.request, which nobody can be given");
        }
    }
    if let Some(calls) = written.calls_per_second {
        let at = line(text, calls.span());
        scale.calls_per_second = calls.into_inner();
        ensure!(scale.calls_per_second > 0, "line {at}: calls_per_second: 1 or more is expected");
    }
    Ok(scale)
}

/// Reads the `versions` of one file, `text`; a service that names none has one, `v1`.
pub(crate) fn versions(text: &str, written: Vec<Spanned<String>>) -> Result<Vec<String>> {
    let mut versions: Vec<String> = Vec::new();
    for version in written {
        let (at, version) = (line(text, version.span()), version.into_inner());
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            version.starts_with('v') && version.chars().all(is_plain) && version.len() < 20,
            "line {at}: `{version}`: a version is a `v` with lower case letters, digits and -, such as \
             `v2`; pods carry it as their label"
        );
        ensure!(!versions.contains(&version), "line {at}: there is a version `{version}` already");
        versions.push(version);
    }
    if versions.is_empty() {
        versions.push("v1".to_owned());
    }
    Ok(versions)
}

fn quantity(
    text: &str,
    written: &Spanned<String>,
    name: &str,
    example: &str,
    read: fn(&str) -> Option<u64>,
) -> Result<u64> {
    let found = written.get_ref();
    match read(found).filter(|value| *value > 0) {
        Some(value) => Ok(value),
        None => {
            let at = line(text, written.span());
            bail!("line {at}: {name} = \"{found}\": something like {example} is expected")
        }
    }
}

fn milli(text: &str) -> Option<u64> {
    match text.strip_suffix('m') {
        Some(milli) => milli.parse().ok(),
        None => text.parse::<u64>().ok()?.checked_mul(1000),
    }
}

fn mib(text: &str) -> Option<u64> {
    let (number, unit) =
        MIB_OF.iter().find_map(|(suffix, mib)| Some((text.strip_suffix(suffix)?, mib)))?;
    number.parse::<u64>().ok()?.checked_mul(*unit)
}

fn line(text: &str, span: Range<usize>) -> usize {
    text[..span.start.min(text.len())].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::{Exposure, Scale};
    use crate::Declaration;

    const FULL: &str = "service = \"a\"\nexposure = \"gateway\"\nversions = [\"v1\", \"v2\"]\n\n[scale]\n\
                        replicas = { min = 3, max = 9 }\ncpu = \"2\"\n\
                        memory = { request = \"96Mi\", limit = \"1Gi\" }\ncalls_per_second = 40\n";

    #[test]
    fn what_is_not_said_has_its_default() {
        let plain = Declaration::parse("service = \"a\"").unwrap();

        assert_eq!(plain.scale, Scale::default());
        assert_eq!(plain.exposure, Exposure::Mesh);
        assert_eq!(plain.versions, ["v1"]);
    }

    #[test]
    fn what_is_said_is_read() {
        let full = Declaration::parse(FULL).unwrap();

        let expected = Scale {
            min_replicas: 3,
            max_replicas: 9,
            cpu_milli: 2000,
            memory_mib: 96,
            memory_limit_mib: 1024,
            calls_per_second: 40,
        };
        assert_eq!(full.scale, expected);
        assert_eq!(full.exposure, Exposure::Gateway);
        assert_eq!(full.versions, ["v1", "v2"]);
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_what_was_expected() {
        for (good, bad, place, expected) in [
            ("min = 3", "min = 10", "line 6", "min no greater than max"),
            ("max = 9", "max = 101", "line 6", "1 to 100 are expected"),
            ("min = 3", "least = 3", "line 6", "unknown field `least`"),
            ("\"2\"", "\"some\"", "line 7", "something like \"250m\" or \"2\""),
            ("\"2\"", "\"0m\"", "line 7", "something like"),
            ("96Mi", "96MB", "line 8", "something like \"64Mi\" or \"1Gi\""),
            ("1Gi", "95Mi", "line 8", "less than memory.request"),
            ("= 40", "= 0", "line 9", "1 or more"),
            ("\"v2\"", "\"v1\"", "line 3", "there is a version `v1` already"),
            ("\"v2\"", "\"2\"", "line 3", "such as `v2`"),
            ("\"gateway\"", "\"all\"", "line 2", "expected one of `mesh`, `gateway`, `public`"),
        ] {
            let error = Declaration::parse(&FULL.replacen(good, bad, 1)).unwrap_err();
            let said = format!("{error:#}");
            assert!(said.contains(place) && said.contains(expected), "{said}\nfor {bad}");
        }
    }
}
