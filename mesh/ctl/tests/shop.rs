//! A shop that a test starts with the real program.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use mesh_local::{Home, Identity};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

/// A shop with a home of its own; taken down with the value.
pub struct Shop {
    pub home: Home,
}

impl Shop {
    /// A home without installed servers.
    pub fn bare(name: &str) -> Shop {
        let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("up-{name}"));
        let shop = Shop { home: Home::at(&root).unwrap() };
        shop.run(&["down", "--wipe"]);
        shop
    }

    pub fn clean(name: &str) -> Shop {
        let project =
            Home::of_project(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
        let shop = Shop::bare(name);
        // Servers that were installed for the project need not be installed again.
        let shared = shop.home.path("venv");
        if project.wheels().is_dir() && !shared.exists() {
            std::os::unix::fs::symlink(project.wheels(), shared).unwrap();
        }
        shop
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The real program with these variables set besides.
    pub fn run_in(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
        self.command(arguments).envs(variables.iter().copied()).output().unwrap()
    }

    /// The real program in a folder.
    pub fn run_at(&self, folder: &Path, arguments: &[&str]) -> Output {
        self.command(arguments).current_dir(folder).output().unwrap()
    }

    /// The real program as a shell begins it: at the head of a process group of its own. What it says is
    /// to be read.
    pub fn begins(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.process_group(0).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
        command.args(arguments).env("MESH_HOME", self.home.root()).env("CI", "1");
        command
    }

    /// The real program with nothing but this on PATH, and no help from cargo.
    pub fn run_with_path(&self, path: &Path, arguments: &[&str]) -> Output {
        self.run_bare(path, &[], arguments)
    }

    /// The same with these variables set besides.
    pub fn run_bare(&self, path: &Path, more: &[(&str, &Path)], arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.envs(more.iter().copied());
        for variable in ["CARGO", "CC", "CARGO_MANIFEST_DIR"] {
            command.env_remove(variable);
        }
        command.env("PATH", path).env("MESH_POSTGRES", "wheel").env("MESH_NATS", "wheel");
        command.output().unwrap()
    }

    pub fn succeeds(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    pub fn state(&self) -> Value {
        let text = std::fs::read_to_string(self.home.path("state.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    pub fn supervisor(&self) -> Identity {
        let text = std::fs::read_to_string(self.home.path("supervisor.pid")).unwrap();
        Identity::of(text.trim().parse().unwrap()).unwrap()
    }

    pub fn supervisor_runs(&self) -> bool {
        let text = std::fs::read_to_string(self.home.path("supervisor.pid")).unwrap();
        Identity::of(text.trim().parse().unwrap()).is_some()
    }

    /// An order that was placed, as the logs say.
    pub fn logged_order(&self) -> String {
        let lines = self.succeeds(&["logs", "--all", "--json"]).stdout;
        let lines = String::from_utf8(lines).unwrap();
        let mut lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let placed = lines.find(|line| line["message"] == "order placed").unwrap();
        placed["order_id"].as_str().unwrap().to_owned()
    }

    pub fn eventually<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.run(&["down", "--wipe"]);
    }
}
