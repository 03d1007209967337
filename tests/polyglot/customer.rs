//! Somebody who does what docs/CLIENTS.md says, in a copy of what a client needs of the checkout.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use mesh_testkit::{program, skipped, workspace};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::page;
use crate::shop::{SERVICES, Shop};

/// Longer than a slow machine takes to build a client.
const PATIENCE: Duration = Duration::from_secs(600);
/// What the contracts are, and what says so.
const CONTRACTS: [&str; 3] = ["buf.yaml", "proto", "clients/service_config"];
/// What clients' tools leave beside the sources.
const LEFT: [&str; 5] = [".buf", ".venv", "gen", "node_modules", "target"];
/// Where an installation puts Go, if it is not on PATH.
const GO: &str = "/usr/local/go/bin";
pub const GATEWAY: &str = "gateway";

/// A checkout with nothing in it but the contracts and the sources of a client.
pub struct Checkout(PathBuf);

/// What a customer has at hand.
pub struct Customer<'a> {
    pub shop: &'a Shop,
    checkout: &'a Checkout,
    home: PathBuf,
    meshctl: PathBuf,
}

impl Checkout {
    /// Of a client that lies in this folder.
    pub fn of(name: &str, client: Option<&str>) -> Self {
        let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("clients").join(name);
        for part in CONTRACTS.into_iter().chain(client) {
            copy(&workspace().join(part), &root.join(part));
        }
        let cargo = root.join("bin/cargo");
        fs::create_dir_all(cargo.parent().unwrap()).unwrap();
        write(&cargo, b"#!/bin/sh\n# cargo mesh COMMAND\nshift\nexec \"$MESHCTL\" \"$@\"\n");
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        Self(root)
    }

    /// Whether this machine has what says its version; what it lacks is said.
    pub async fn has(&self, name: &str, version: &str, way_out: &str) -> bool {
        let found = self.run(version, "-ec", &[]).await;
        if !found.status.success() {
            skipped(name, way_out);
        }
        found.status.success()
    }

    /// Whether what a client is made of could be fetched; what could not is said.
    pub async fn fetches(&self, block: &str) -> bool {
        let output = self.run(block, "-ec", &[]).await;
        if !output.status.success() {
            skipped("what the client is made of", &format!("{block}\nsays\n{}", said(&output)));
        }
        output.status.success()
    }

    async fn run(&self, script: &str, how: &str, environment: &[(&str, OsString)]) -> Output {
        let mut command = self.command(script, how, environment);
        let output = timeout(PATIENCE, command.output()).await;
        output.unwrap_or_else(|_| panic!("it takes too long:\n{script}")).unwrap()
    }

    fn command(&self, script: &str, how: &str, environment: &[(&str, OsString)]) -> Command {
        let known = env::var_os("PATH").unwrap_or_default();
        let folders = [self.0.join("bin")].into_iter().chain(env::split_paths(&known));
        let path = env::join_paths(folders.chain([PathBuf::from(GO)])).unwrap();
        let mut command = Command::new("sh");
        command.args([how, script]).current_dir(&self.0).env("PATH", path).kill_on_drop(true);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl<'a> Customer<'a> {
    /// Of a shop that runs, in front of a checkout.
    pub async fn of(shop: &'a Shop, checkout: &'a Checkout) -> Self {
        let home = shop.platform.service(GATEWAY).process().spec().log.clone();
        let home = home.ancestors().nth(2).unwrap().to_owned();
        fs::write(home.join("state.json"), state(shop).to_string()).unwrap();
        Self { shop, checkout, home, meshctl: program("meshctl").await }
    }

    /// What is on the screen of one who types this, behind what the page has typed before everything else.
    pub async fn sees(&self, block: &str) -> String {
        said(&self.run(&format!("exec 2>&1\n{block}"), "-c").await)
    }

    /// What is printed then, if every command does what it should; a test that fails, otherwise.
    pub async fn types(&self, block: &str) -> String {
        let output = self.run(block, "-ec").await;
        assert!(output.status.success(), "{block}\nends with {}\n{}", output.status, said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn run(&self, block: &str, how: &str) -> Output {
        let before = page::section("Before").typed.join("\n");
        self.checkout.run(&format!("{before}\n{block}"), how, &self.environment()).await
    }

    fn environment(&self) -> [(&'static str, OsString); 2] {
        let (home, meshctl) = (self.home.clone().into(), self.meshctl.clone().into());
        [("MESH_HOME", home), ("MESHCTL", meshctl)]
    }

    /// Begins what goes on until the value is dropped, or its input ends.
    pub fn begins(&self, block: &str) -> Background {
        let mut command = self.checkout.command(block, "-c", &self.environment());
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Background(command.spawn().unwrap())
    }
}

/// What was begun, and everything that it began itself.
pub struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(leader) = self.0.id() {
            let mut kill = std::process::Command::new("kill");
            let _ = kill.args(["-KILL", "--", &format!("-{leader}")]).status();
        }
    }
}

/// Everything on the screen.
fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// What `up` would have written.
fn state(shop: &Shop) -> Value {
    let platform = &shop.platform;
    let instance = |name: &&str| {
        let process = platform.service(name);
        let mut instance = json!({
            "grpc": process.grpc(),
            "admin": process.admin(),
            "pid": process.pid().unwrap(),
            "database_url": "",
        });
        if *name == GATEWAY {
            instance["http"] = json!(process.grpc());
        }
        ((*name).to_owned(), json!([instance]))
    };
    let services: serde_json::Map<String, Value> =
        SERVICES.iter().chain(&[GATEWAY]).map(instance).collect();
    let server = |url: String| json!({ "url": url, "pid": std::process::id() });
    json!({
        "version": 1,
        "services": services,
        "nats": server(platform.operator_nats()),
        "postgres": server(platform.superuser_url("orders")),
        "users": platform.user_keys().private(),
    })
}

/// A shop with its front door, which a page of this origin may call.
pub async fn open(origin: Option<&str>) -> Shop {
    Shop::with_gateway(|options| match origin {
        Some(origin) => options.env(GATEWAY, "CORS_ORIGINS", origin),
        None => options,
    })
    .await
}

/// Makes a file or folder what another one is, but for what tools have left there.
fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        write(to, &fs::read(from).unwrap());
        return;
    }
    let is_left = |path: &Path| LEFT.iter().any(|name| path.ends_with(name));
    let within = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).filter(|path| !is_left(path)).collect()
    };
    let twin = |path: &Path, folder: &Path| folder.join(path.file_name().unwrap());
    for gone in within(to).iter().filter(|path| !twin(path, from).exists()) {
        fs::remove_dir_all(gone).or_else(|_| fs::remove_file(gone)).unwrap();
    }
    for path in within(from) {
        copy(&path, &twin(&path, to));
    }
}

/// A file that is what it was stays as old as it was: nothing is built anew.
fn write(path: &Path, text: &[u8]) {
    match fs::read(path) {
        Ok(known) if known == text => (),
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("{}: {error}", path.display()),
        _ => fs::write(path, text).unwrap(),
    }
}
