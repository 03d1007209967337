//! What a service needs besides its database and streams: `[[buckets]]`, `[[secrets]]` and `[[flags]]`
//! of its `mesh.toml`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde::Deserialize;
use toml::Spanned;

/// A key-value bucket of the broker that the service uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name, which all who use it share.
    pub name: String,
    /// What the service does with it.
    pub access: Access,
    /// How long what it puts there stays; for ever if none.
    pub max_age: Option<Duration>,
    /// What for.
    pub why: String,
}

/// What a service does with a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// It reads and watches.
    Read,
    /// It puts and deletes, too.
    Write,
}

/// A setting of the service that nobody else may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The environment variable that it is given in.
    pub name: String,
    /// If the variable says where it is, the name of the file that it is in.
    pub file: Option<String>,
    /// What for.
    pub why: String,
}

/// A switch that operators turn while the service runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Its name; operators put the service's before it.
    pub name: String,
    /// What holds until somebody says otherwise.
    pub default: bool,
    /// What it does.
    pub what: String,
}

/// A bucket as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenBucket {
    name: Spanned<String>,
    access: Access,
    /// In seconds.
    max_age: Option<u64>,
    why: String,
}

/// A secret as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenSecret {
    name: Spanned<String>,
    file: Option<String>,
    why: String,
}

/// A flag as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenFlag {
    name: Spanned<String>,
    default: bool,
    what: String,
}

/// Settings that every service has: how they are given is the platform's affair.
const PLATFORMS: [&str; 2] = ["DATABASE_URL", "NATS_URL"];

/// Reads the buckets of one file, `text`.
pub(crate) fn buckets(text: &str, written: Vec<WrittenBucket>) -> Result<Vec<Bucket>> {
    let mut names = Names::of(text, "bucket");
    let mut read = Vec::new();
    for WrittenBucket { name, access, max_age, why } in written {
        let at = names.new_one(&name)?;
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let name = name.into_inner();
        ensure!(
            !name.is_empty() && name.chars().all(is_plain),
            "line {at}: a bucket's name has lower case letters, digits and _, and `{name}` others"
        );
        ensure!(
            max_age.is_none() || access == Access::Write,
            "line {at}: who reads `{name}` does not say how long something stays there: leave \
             max_age to who writes"
        );
        let max_age = max_age.map(Duration::from_secs);
        read.push(Bucket { name, access, max_age, why });
    }
    Ok(read)
}

/// Reads the secrets of one file, `text`.
pub(crate) fn secrets(text: &str, written: Vec<WrittenSecret>) -> Result<Vec<Secret>> {
    let mut names = Names::of(text, "secret");
    let mut read = Vec::new();
    for WrittenSecret { name, file, why } in written {
        let at = names.new_one(&name)?;
        let is_plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let name = name.into_inner();
        ensure!(
            name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(is_plain),
            "line {at}: a secret is the name of an environment variable, such as SIGNING_KEY, and \
             `{name}` is none"
        );
        ensure!(
            !PLATFORMS.contains(&name.as_str()),
            "line {at}: `{name}` follows from `store`, `publishes` and `subscribes`: leave it out"
        );
        let is_name = |it: &String| !it.is_empty() && !it.starts_with('.') && !it.contains('/');
        ensure!(
            file.as_ref().is_none_or(is_name),
            "line {at}: `file` is the name of a file, in a folder that the platform chooses"
        );
        read.push(Secret { name, file, why });
    }
    Ok(read)
}

/// Reads the flags of one file, `text`, which declares these buckets.
pub(crate) fn flags(
    text: &str,
    written: Vec<WrittenFlag>,
    buckets: &[Bucket],
) -> Result<Vec<Flag>> {
    let mut names = Names::of(text, "flag");
    let mut read = Vec::new();
    for WrittenFlag { name, default, what } in written {
        let at = names.new_one(&name)?;
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let name = name.into_inner();
        ensure!(
            (1..=40).contains(&name.len()) && name.chars().all(is_plain),
            "line {at}: a flag's name has 1 to 40 lower case letters, digits and _, and `{name}` not"
        );
        ensure!(
            buckets.iter().any(|bucket| bucket.name == mesh_flags::BUCKET),
            "line {at}: what operators say of `{name}` is not heard: declare [[buckets]] with \
             name = \"{}\" and access = \"read\"",
            mesh_flags::BUCKET
        );
        read.push(Flag { name, default, what });
    }
    Ok(read)
}

/// The names of one kind, and where each stands.
struct Names<'a> {
    text: &'a str,
    kind: &'static str,
    lines: BTreeMap<String, usize>,
}

impl<'a> Names<'a> {
    fn of(text: &'a str, kind: &'static str) -> Names<'a> {
        Names { text, kind, lines: BTreeMap::new() }
    }

    /// The line of a name that no other has.
    fn new_one(&mut self, name: &Spanned<String>) -> Result<usize> {
        let at = self.line(name.span());
        let kind = self.kind;
        if let Some(first) = self.lines.insert(name.get_ref().clone(), at) {
            let name = name.get_ref();
            bail!("line {at}: there is a {kind} `{name}` already, in line {first}");
        }
        Ok(at)
    }

    fn line(&self, span: Range<usize>) -> usize {
        self.text[..span.start.min(self.text.len())].matches('\n').count() + 1
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Access;
    use crate::Declaration;

    const BUCKET: &str =
        "[[buckets]]\nname = \"revoked\"\naccess = \"read\"\nwhy = \"who is signed out\"\n";
    const SECRET: &str = "[[secrets]]\nname = \"SIGNING_KEY\"\nwhy = \"signs\"\n";

    const FLAG: &str = "[[flags]]\nname = \"dark\"\ndefault = false\nwhat = \"x\"\n";

    fn parse(text: &str) -> Result<Declaration, String> {
        let declaration = Declaration::parse(&format!("service = \"a\"\n{text}"));
        declaration.map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn buckets_and_secrets_are_read() {
        let declaration = parse(&format!("{BUCKET}{SECRET}")).unwrap();

        assert_eq!(declaration.buckets[0].name, "revoked");
        assert_eq!(declaration.buckets[0].access, Access::Read);
        assert_eq!(declaration.secrets[0].name, "SIGNING_KEY");
        assert_eq!(declaration.secrets[0].file, None);
        let in_file = parse(&format!("{SECRET}file = \"a.key\"")).unwrap();
        assert_eq!(in_file.secrets[0].file.as_deref(), Some("a.key"));
        assert!(declaration.uses_broker());
        assert!(!parse(SECRET).unwrap().uses_broker());
        assert_eq!(declaration.buckets[0].max_age, None);

        let kept = BUCKET.replace("\"read\"", "\"write\"\nmax_age = 900");
        let kept = parse(&kept).unwrap();
        assert_eq!(kept.buckets[0].max_age, Some(Duration::from_secs(900)));
    }

    #[test]
    fn flags_are_read_beside_the_bucket_that_tells_of_them() {
        let bucket = BUCKET.replace("revoked", "flags");
        let declaration = parse(&format!("{bucket}{FLAG}")).unwrap();

        let flag = &declaration.flags[0];
        assert_eq!((flag.name.as_str(), flag.default, flag.what.as_str()), ("dark", false, "x"));
    }

    #[test]
    fn what_cannot_be_is_named_with_its_line() {
        let flags = BUCKET.replace("revoked", "flags");
        let cases = [
            (FLAG.to_owned(), "line 3: what operators say of `dark` is not heard: declare"),
            (
                format!("{flags}{}", FLAG.repeat(2)),
                "line 11: there is a flag `dark` already, in li",
            ),
            (
                format!("{flags}{}", FLAG.replace("dark", "a.b")),
                "line 7: a flag's name has 1 to 40",
            ),
            (format!("{flags}{}", FLAG.replace("false", "0")), "expected a boolean"),
            (format!("{flags}{}", FLAG.replace("what", "why")), "unknown field `why`"),
            (BUCKET.replace("revoked", "re.voked"), "line 3: a bucket's name has lower case"),
            (BUCKET.replace("\"read\"", "\"own\""), "expected `read` or `write`"),
            (BUCKET.replace("why", "because"), "unknown field `because`"),
            (BUCKET.replace("why", "max_age = 9\nwhy"), "line 3: who reads `revoked` does not say"),
            (BUCKET.repeat(2), "line 7: there is a bucket `revoked` already, in line 3"),
            (SECRET.replace("SIGNING_KEY", "signing"), "line 3: a secret is the name of an env"),
            (SECRET.replace("SIGNING_KEY", "NATS_URL"), "line 3: `NATS_URL` follows from"),
            (format!("{SECRET}file = \"../a.key\""), "line 3: `file` is the name of a file"),
            (SECRET.repeat(2), "line 6: there is a secret `SIGNING_KEY` already, in line 3"),
        ];
        for (text, expected) in cases {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(expected), "{text}\n{error}");
        }
    }
}
