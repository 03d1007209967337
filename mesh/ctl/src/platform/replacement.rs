//! Programs that take the place of a service's own, in whatever language.

use std::collections::BTreeMap;
use std::env;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mesh_local::ProcessSpec;
use serde::{Deserialize, Serialize};

use crate::services;

/// A program, its arguments, and where it is started: paths among its arguments are from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    program: PathBuf,
    args: Vec<String>,
    directory: PathBuf,
}

/// Reads `processor=.venv/bin/python main.py`, once or several times. Programs are looked for as a
/// shell in `directory` would, and have to be there.
pub fn replacements(asked: &[String], directory: &Path) -> Result<BTreeMap<String, Replacement>> {
    let mut replacements = BTreeMap::new();
    for text in asked {
        let (service, command) = text.split_once('=').with_context(|| {
            format!("--replace {text}: say SERVICE=COMMAND, such as processor='python3 main.py'")
        })?;
        services::check(service)?;
        let replacement = Replacement::of(command, directory);
        let replacement = replacement.with_context(|| format!("--replace {service}={command}"))?;
        if replacements.insert(service.to_owned(), replacement).is_some() {
            bail!("--replace names {service} twice");
        }
    }
    Ok(replacements)
}

impl Replacement {
    fn of(command: &str, directory: &Path) -> Result<Replacement> {
        let mut words = words(command)?.into_iter();
        let name = words.next().context("no program is named")?;
        let program = find(&name, directory)?;
        Ok(Replacement { program, args: words.collect(), directory: directory.to_owned() })
    }

    /// Makes a process that was to run another program run this one.
    pub(super) fn run(&self, spec: &mut ProcessSpec) {
        spec.program = self.program.clone();
        spec.args = self.args.iter().map(Into::into).collect();
        spec.directory = Some(self.directory.clone());
    }
}

/// The words of a command: blanks part them, but for those between quotes of either kind.
fn words(command: &str) -> Result<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in command.chars() {
        match (character, quote) {
            (end, Some(open)) if end == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (blank, None) if blank.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    if let Some(open) = quote {
        bail!("a quote ({open}) is opened and not closed");
    }
    words.extend(word);
    Ok(words)
}

/// What a shell would run under this name. Links are left as they are: a Python knows its environment
/// by the link that it was called by.
fn find(name: &str, directory: &Path) -> Result<PathBuf> {
    if name.contains('/') {
        let path = directory.join(name);
        return match path.metadata() {
            Ok(_) if is_program(&path) => Ok(path),
            Ok(_) => bail!("{} is no program that can be run", path.display()),
            Err(error) => Err(error).with_context(|| format!("cannot use {}", path.display())),
        };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found = env::split_paths(&path).map(|folder| directory.join(folder).join(name));
    found.find(|path| is_program(path)).with_context(|| {
        format!("there is no program `{name}` on PATH: install it, or name it by its path")
    })
}

/// Whether a file can be run.
pub fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(asked: &[&str]) -> String {
        let asked: Vec<_> = asked.iter().map(|text| (*text).to_owned()).collect();
        format!("{:#}", replacements(&asked, Path::new("/")).unwrap_err())
    }

    #[test]
    fn a_command_is_a_program_and_words_that_quotes_hold_together() {
        let asked = ["processor=sh -c 'exit 3' \"it's\" ''".to_owned()];

        let replaced = &replacements(&asked, Path::new("/usr")).unwrap()["processor"];

        assert!(replaced.program.is_absolute() && replaced.program.ends_with("sh"));
        assert_eq!(replaced.args, ["-c", "exit 3", "it's", ""]);
        assert_eq!(replaced.directory, Path::new("/usr"));
    }

    #[test]
    fn a_path_is_from_where_it_is_typed() {
        let asked = ["processor=bin/sh".to_owned()];

        let replaced = &replacements(&asked, Path::new("/")).unwrap()["processor"];

        assert_eq!(replaced.program, Path::new("/bin/sh"));
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_the_reason() {
        for (asked, why) in [
            (&["processor"][..], "say SERVICE=COMMAND"),
            (&["nobody=sh"], "there is no service `nobody`"),
            (&["processor="], "no program is named"),
            (&["processor=sh 'x"], "opened and not closed"),
            (&["processor=no-such-program x"], "no program `no-such-program` on PATH"),
            (&["processor=./nowhere/x"], "cannot use /./nowhere/x: No such file"),
            (&["processor=etc/passwd"], "/etc/passwd is no program"),
            (&["processor=usr/"], "/usr/ is no program"),
            (&["processor=sh", "processor=sh"], "names processor twice"),
        ] {
            let said = refused(asked);
            assert!(said.contains(why), "{asked:?}: {said}");
        }
    }
}
