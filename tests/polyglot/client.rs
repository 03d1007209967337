//! A client in another language.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use mesh_testkit::workspace;
use meshctl::generate::clients::Library;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::callee::Case;
use super::languages;
use crate::toolchains::{go, python};

/// Longer than all calls of a client take, and shorter than a callee waits by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that makes calls as a service config says. Both say at their heads what they are told.
pub struct Client {
    pub name: &'static str,
    /// Which service configs it takes.
    pub library: Library,
    program: PathBuf,
    script: Option<OsString>,
}

/// A call to make.
pub struct Call {
    pub case: Case,
    pub kind: &'static str,
    pub path: String,
}

/// How a call ended.
pub struct Ended {
    pub case: Case,
    pub code: i32,
}

impl Client {
    /// With Go's library; none if this machine cannot build it, which is said.
    pub fn go() -> Option<Self> {
        // Once: a program is not built anew while another test runs it.
        static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
        let name = "go";
        let build = || go::program("polyglot", "tests/polyglot/go", ".");
        let built = languages::is_wanted(name).then(|| BUILT.get_or_init(build).clone())?;
        let program = languages::of(name, built)?;
        Some(Self { name, library: Library::Any, program, script: None })
    }

    /// With Python's; none if this machine cannot install it, which is said.
    pub fn python() -> Option<Self> {
        let name = "python";
        let install = || python::with("client", "tests/polyglot/python/requirements.txt");
        let found = languages::is_wanted(name).then(install)?;
        let program = languages::of(name, found)?;
        let script = workspace().join("tests/polyglot/python/client.py").into_os_string();
        Some(Self { name, library: Library::Core, program, script: Some(script) })
    }

    /// Makes these calls by the service config in `file`; how they ended, in the same order.
    pub async fn call(
        &self,
        file: &Path,
        address: SocketAddr,
        calls: impl Iterator<Item = Call>,
    ) -> Vec<Ended> {
        let mut command = Command::new(&self.program);
        command.args(&self.script).arg(file).arg(address.to_string()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (mut cases, mut lines) = (Vec::new(), String::new());
        for Call { case, kind, path } in calls {
            lines.push_str(&format!("{case} {kind} /{path}\n"));
            cases.push(case);
        }
        let mut input = process.stdin.take().unwrap();
        input.write_all(lines.as_bytes()).await.unwrap();
        drop(input);
        let output = timeout(PATIENCE, process.wait_with_output()).await;
        let output = output.expect("the client ends").unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {}\n{said}", self.name, output.status);
        let told = String::from_utf8(output.stdout).unwrap();
        let codes: BTreeMap<&str, i32> = told
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(case, code)| (case, code.parse().unwrap()))
            .collect();
        let ended = |case: Case| Ended { code: codes[&*case.to_string()], case };
        cases.into_iter().map(ended).collect()
    }
}
