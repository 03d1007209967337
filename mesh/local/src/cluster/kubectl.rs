//! `kubectl` against one cluster.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Whatever is there already becomes what is said here.
const APPLY: [&str; 3] = ["apply", "--server-side", "--force-conflicts"];

/// Runs the program for one cluster.
#[derive(Clone, Debug)]
pub struct Kubectl {
    pub(super) program: PathBuf,
    pub(super) kubeconfig: PathBuf,
}

impl Kubectl {
    /// Runs it; what it printed.
    ///
    /// # Errors
    /// It fails, with what it said.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        self.run_with(arguments, "").await
    }

    /// The same, with text that it reads (`--filename -`).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let output = self.output(arguments, input).await?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("`kubectl {}` says\n{}", arguments.join(" "), said.trim_end())
    }

    /// An object, or a list of them, as JSON.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn get(&self, arguments: &[&str]) -> Result<Value> {
        let arguments = [&["get", "--output", "json"], arguments].concat();
        Ok(serde_json::from_str(&self.run(&arguments).await?)?)
    }

    /// Applies objects: each is then as it is said here, whoever made it or changed it before.
    ///
    /// # Errors
    /// The API server, or a webhook of it, refuses one.
    pub async fn apply(&self, objects: &[Value]) -> Result<()> {
        let texts: Vec<_> = objects.iter().map(Value::to_string).collect();
        let arguments = [&APPLY[..], &["--filename", "-"]].concat();
        self.run_with(&arguments, &texts.join("\n---\n")).await.map(drop)
    }

    /// The same with what is written at `path`: `--filename` takes a file or a folder of them,
    /// `--kustomize` an overlay.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub async fn apply_from(&self, flag: &str, path: &Path) -> Result<()> {
        let path = path.display().to_string();
        self.run(&[&APPLY[..], &[flag, &path]].concat()).await.map(drop)
    }

    /// The file that says where the cluster is, and how its administrator is known.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    async fn output(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let program = || format!("cannot run {}", self.program.display());
        let mut child = command.spawn().with_context(program)?;
        let (stdin, input) = (child.stdin.take(), input.to_owned());
        // Beside the reading: who writes much before it has read all would wait for ever.
        let writing = tokio::spawn(async move {
            if let Some(mut stdin) = stdin {
                // One that ends early says why by itself.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        });
        let output = child.wait_with_output().await.with_context(program)?;
        writing.await?;
        Ok(output)
    }
}
