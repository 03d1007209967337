//! Room on disks, and ports.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use mesh_local::free_port;

use super::Finding;
use crate::project::Project;
use crate::state::State;

const GIB: u64 = 1024 * 1024 * 1024;
/// What a full build of services, command line and tests takes.
const BUILD: u64 = 12 * GIB;
/// Below that nothing can be built.
const LEAST_BUILD: u64 = 3 * GIB;
/// What data and logs of some hours take.
const DATA: u64 = 2 * GIB;
const LEAST_DATA: u64 = GIB / 2;

/// Free room where data lies and where builds lie.
pub fn disk(project: &Project) -> Vec<Finding> {
    let mut findings = vec![room("disk (data)", project.home.root(), LEAST_DATA, DATA)];
    let target = project.target();
    let is_built = target.join("debug/orders").is_file();
    let (least, enough) = if is_built { (GIB / 2, 2 * GIB) } else { (LEAST_BUILD, BUILD) };
    findings.push(room("disk (build)", &target, least, enough));
    findings
}

fn room(name: &'static str, folder: &Path, least: u64, enough: u64) -> Finding {
    let existing = folder.ancestors().find(|folder| folder.is_dir());
    let stat = existing.and_then(|folder| rustix::fs::statvfs(folder).ok());
    let Some(stat) = stat else {
        return Finding::note(name, format!("{} cannot be examined", folder.display()), "");
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let found = format!("{} free at {}", size(free), folder.display());
    let advice = format!("make room: {} are comfortable", size(enough));
    match free {
        free if free < least => Finding::missing(name, found, advice),
        free if free < enough => Finding::note(name, found, advice),
        _ => Finding::ok(name, found),
    }
}

fn size(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / GIB as f64)
}

/// Whether servers can listen, and at the places that they had last time.
pub fn ports(project: &Project) -> Finding {
    const NAME: &str = "ports";
    if let Err(error) = free_port() {
        let advice = "free some, or allow listening on 127.0.0.1";
        return Finding::missing(NAME, error.to_string(), advice);
    }
    if matches!(State::find(&project.home), Ok(Some(_))) {
        return Finding::ok(NAME, "in use by the shop; `cargo mesh status` lists them");
    }
    let known = fs::read_to_string(project.home.path("ports.json")).unwrap_or_default();
    let known: BTreeMap<String, u16> = serde_json::from_str(&known).unwrap_or_default();
    let is_taken = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err();
    let taken: Vec<String> = known
        .iter()
        .filter(|(_, port)| is_taken(**port))
        .map(|(name, port)| format!("{name} ({port})"))
        .collect();
    match taken.is_empty() {
        true => Finding::ok(NAME, "127.0.0.1:20000 to 32000, free ones are chosen"),
        false => Finding::note(
            NAME,
            format!("taken by others since the last run: {}", taken.join(", ")),
            "nothing to do: the next `up` chooses others",
        ),
    }
}
