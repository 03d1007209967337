//! A home in which the operators' program finds a test's shop, as if `up` had started it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use mesh_testkit::program;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::shop::{SERVICES, Shop};

/// The folder with the shop's logs, and the program that looks into it.
pub struct Home {
    program: PathBuf,
    root: PathBuf,
}

impl Home {
    /// Of a shop that runs. `more` is what `up` would have said besides of a test's own servers; without
    /// it commands know of the services alone.
    pub async fn of(shop: &Shop, more: Value) -> Self {
        let program = program("meshctl").await;
        let log = &shop.platform.service("orders").process().spec().log;
        let root = log.ancestors().nth(2).unwrap().to_owned();
        let mut state = state(shop);
        for (name, value) in more.as_object().into_iter().flatten() {
            state[name] = value.clone();
        }
        std::fs::write(root.join("state.json"), format!("{state:#}")).unwrap();
        Self { program, root }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The operators' program, asked for something.
    pub fn mesh(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = self.command(&self.program);
        command.args(arguments);
        command
    }

    /// A program that finds the shop.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("MESH_HOME", &self.root).env("CI", "1").stdin(Stdio::null());
        command
    }

    /// How the operators' program ends, and what it says.
    pub async fn ends(&self, arguments: &[&str]) -> Output {
        self.mesh(arguments).output().await.unwrap()
    }

    /// What it prints, where it succeeds.
    pub async fn prints(&self, arguments: &[&str]) -> String {
        let output = self.ends(arguments).await;
        let failed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {failed}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same, read as JSON.
    pub async fn tells(&self, arguments: &[&str]) -> Value {
        let printed = self.prints(&[arguments, &["--json"]].concat()).await;
        serde_json::from_str(&printed).unwrap()
    }
}

/// What `up` would have written.
fn state(shop: &Shop) -> Value {
    let platform = &shop.platform;
    let instance = |service: &&str| {
        let process = platform.service(service);
        let instance = json!({
            "grpc": process.grpc(),
            "admin": process.admin(),
            "pid": process.pid().unwrap(),
            "database_url": platform.database_url(service),
        });
        ((*service).to_owned(), json!([instance]))
    };
    let services: serde_json::Map<String, Value> = SERVICES.iter().map(instance).collect();
    json!({
        "version": 1,
        "services": services,
        "nats": {
            "url": platform.operator_nats(),
            "pid": platform.nats().process().pid().unwrap(),
        },
        // All tests share one, whose process is nobody's to know.
        "postgres": { "url": platform.superuser_url("orders"), "pid": std::process::id() },
        "caller": { "key": platform.service_keys().private("meshctl") },
        "users": platform.user_keys().private(),
    })
}
