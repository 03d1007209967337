//! What builds the services, and what installs servers.

use std::env;
use std::ffi::OsString;
use std::process::{Command, Stdio};

use mesh_local::Look;

use super::Finding;
use crate::platform::is_installed;
use crate::project::Project;

/// This program and the machine.
pub fn versions() -> Finding {
    let (system, processor) = (env::consts::OS, env::consts::ARCH);
    let found = format!("meshctl {}, {system} on {processor}", env!("CARGO_PKG_VERSION"));
    if matches!(system, "linux" | "macos") {
        return Finding::ok("versions", found);
    }
    Finding::missing("versions", found, "use Linux or macOS; on Windows WSL 2")
}

/// Rust and a C compiler; not needed where the services are installed already.
pub fn builders(project: &Project) -> Vec<Finding> {
    if is_installed() {
        return vec![Finding::ok("rust", "not needed: the services are installed beside meshctl")];
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let wanted = pinned(project).map(|pin| format!(" (Rust {pin} is pinned)")).unwrap_or_default();
    vec![
        match first_line(cargo, project) {
            Some(found) => Finding::ok("rust", found),
            None => Finding::missing(
                "rust",
                "cargo does not run",
                format!("install Rust from https://rustup.rs{wanted}, and open a new terminal"),
            ),
        },
        match first_line(compiler, project) {
            Some(found) => Finding::ok("c compiler", found),
            None => Finding::missing(
                "c compiler",
                "cc does not run",
                "install one (Debian, Ubuntu: `apt install build-essential`; Fedora: `dnf install \
                 gcc`; macOS: `xcode-select --install`), or name it in CC",
            ),
        },
    ]
}

/// Python, which only installs servers that the machine lacks.
pub fn python(look: &Look) -> Finding {
    const NAME: &str = "python";
    let advice = "install Python 3 with its venv module (Debian, Ubuntu: `apt install \
                  python3-venv`), or put `postgres` and `nats-server` on PATH";
    let needed = !look.downloads.is_empty();
    let found = match &look.python {
        Some(python) => match &python.version {
            Some(version) => {
                let path = python.path.display();
                return Finding::ok(NAME, format!("Python {version} with venv, {path}"));
            }
            None => format!("{} has no working venv and ensurepip", python.path.display()),
        },
        None => "python3 is not on PATH".to_owned(),
    };
    match needed {
        true => Finding::missing(NAME, found, advice),
        false => Finding::ok(NAME, format!("{found}; not needed, both servers are here")),
    }
}

fn pinned(project: &Project) -> Option<String> {
    let text = std::fs::read_to_string(project.root.join("rust-toolchain.toml")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("channel"))?;
    Some(line.trim_matches([' ', '=', '"']).to_owned())
}

/// What a program says first about its version, if it runs.
fn first_line(program: OsString, project: &Project) -> Option<String> {
    let mut command = Command::new(program);
    command.arg("--version").current_dir(&project.root).stdin(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(|line| line.trim().to_owned())
}
