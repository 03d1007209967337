//! PostgreSQL and nats-server, and who runs them.

use std::fs;

use mesh_local::{Look, Prometheus, User};

use super::Finding;
use crate::project::Project;

/// Where both servers are, or where they would come from.
pub fn both(project: &Project, look: &Look) -> Vec<Finding> {
    let mut findings = vec![postgres(project, look), nats(look)];
    if !look.downloads.is_empty() {
        findings.push(Finding::note(
            "downloads",
            look.downloads.clone(),
            "the first `up` or `test` downloads this once, and needs the network for it",
        ));
    }
    findings
}

fn postgres(project: &Project, look: &Look) -> Finding {
    const NAME: &str = "postgresql";
    let Some((place, major)) = &look.postgres else {
        return absent(
            NAME,
            look,
            "MESH_POSTGRES",
            &format!("no PostgreSQL {} or newer", Look::oldest_postgres()),
        );
    };
    let data = fs::read_to_string(project.home.path("postgres/data/PG_VERSION"));
    let found = format!("{}, {}", place.version, place.path.display());
    match data {
        Ok(data) if data.trim() != major.to_string() => Finding::missing(
            NAME,
            format!("{found}; but the data was made by version {}", data.trim()),
            "choose the other one with MESH_POSTGRES=system or MESH_POSTGRES=wheel, or remove the \
             data with `cargo mesh down --wipe`",
        ),
        _ => Finding::ok(NAME, found),
    }
}

fn nats(look: &Look) -> Finding {
    match &look.nats {
        Some(place) => {
            Finding::ok("nats-server", format!("{}, {}", place.version, place.path.display()))
        }
        None => absent("nats-server", look, "MESH_NATS", "not on this machine"),
    }
}

fn absent(name: &'static str, look: &Look, variable: &str, found: &str) -> Finding {
    if look.insisted.contains(&variable) {
        let advice = format!("install it, or unset {variable}, which insists on the system's");
        return Finding::missing(name, found, advice);
    }
    match look.python.as_ref().is_some_and(|python| python.version.is_some()) {
        true => Finding::note(name, found, "it will be downloaded, see `downloads`"),
        false => Finding::missing(name, found, "install it, or Python 3 with venv to download it"),
    }
}

/// Who observes, if anybody is asked to.
pub fn observer() -> Finding {
    const NAME: &str = "prometheus";
    match Prometheus::find() {
        Ok(program) => Finding::ok(NAME, program.display().to_string()),
        Err(missing) => Finding::note(
            NAME,
            "not on this machine; only `up --observe` and tests of alerts need it",
            missing.to_string(),
        ),
    }
}

/// Whom PostgreSQL runs as.
pub fn user() -> Finding {
    match User::unprivileged() {
        Ok(None) => Finding::ok("user", "an ordinary user"),
        Ok(Some(user)) => Finding::ok(
            "user",
            format!("root; PostgreSQL, which refuses to run as root, runs as `{}`", user.name),
        ),
        Err(error) => Finding::missing(
            "user",
            format!("root, and nobody else: {error}"),
            "add one with `useradd --system postgres`, or run this as an ordinary user",
        ),
    }
}
