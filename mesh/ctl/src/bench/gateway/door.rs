//! The gateway that is measured, in a process of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mesh_local::{free_port, http};
use serde_json::json;
use tokio::time::{Instant, sleep};

const STARTING: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(20);
/// More streams than a service has open by itself.
const POLICY: &str = "[targets.orders]\nbulkhead = { calls = 4096 }\n";

/// A gateway that ends with the value.
pub(super) struct Gateway {
    pub at: SocketAddr,
    process: Child,
    files: [PathBuf; 2],
}

impl Gateway {
    /// Starts one before a service, and waits until it listens.
    pub async fn start(
        behind: SocketAddr,
        folder: &Path,
        serve: impl FnOnce(&Path) -> Command,
    ) -> Result<Gateway> {
        let address = || anyhow::Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)));
        let (at, admin) = (address()?, address()?);
        let files = ["bench-gateway.json", "bench-gateway.policy.toml"].map(|it| folder.join(it));
        let names = ["catalog", "orders", "processor", "shipping", "storefront", "users"];
        let discovery = names.map(|name| format!("{name}=static:{behind}")).join(";");
        let args = [
            ("--listen-addr", at.to_string()),
            ("--admin-addr", admin.to_string()),
            ("--discovery", discovery),
            ("--mesh-policy", files[1].display().to_string()),
            ("--log-level", "error".to_owned()),
        ];
        let args: Vec<String> =
            args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
        fs::write(&files[0], json!([{ "service": "gateway", "args": args }]).to_string())?;
        fs::write(&files[1], POLICY)?;
        let mut command = serve(&files[0]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let mut gateway = Gateway { at, process, files };
        gateway.ready().await?;
        Ok(gateway)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    async fn ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        while !http::request(self.at, "GET", "/readyz").await.is_ok_and(|(status, _)| status == 200)
        {
            if let Some(status) = self.process.try_wait()? {
                bail!("the gateway has ended with {status}");
            }
            if begun.elapsed() > STARTING {
                bail!("the gateway does not answer at {} after {STARTING:?}", self.at);
            }
            sleep(INTERVAL).await;
        }
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
    }
}
