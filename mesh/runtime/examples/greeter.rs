//! The smallest service: configuration, lifecycle, a background task, an errand, and no contract.

use std::process::ExitCode;

use futures::FutureExt as _;
use mesh_runtime::{Errand, Service, ServiceConfig, Started, crash};

/// Greets in its log, once.
#[derive(clap::Parser)]
struct Config {
    #[command(flatten)]
    service: ServiceConfig,

    /// Who is greeted
    #[arg(long, env = "GREETED", default_value = "world")]
    greeted: String,
}

impl AsRef<ServiceConfig> for Config {
    fn as_ref(&self) -> &ServiceConfig {
        &self.service
    }
}

async fn start(config: Config) -> anyhow::Result<Started> {
    let service = Service::begin("greeter", &config.service).await?;
    let stopped = service.stopped();
    service.spawn("greetings", async move {
        tracing::info!(greeted = config.greeted, "hello");
        crash::point("Greeting", "after_call");
        stopped.cancelled().await;
    });
    // A service with a contract serves it here, which makes it ready.
    service.health().condition("rpc").ready();
    Ok(Started { grpc: service.admin_addr(), service })
}

/// Says a greeting, and ends.
fn greet() -> Errand {
    Errand::new("greet", "Greets once", |_, _, options: Greeting| {
        async move {
            anyhow::ensure!(options.loudness > 0, "nobody hears that");
            Ok(format!("hello{}", "!".repeat(options.loudness)))
        }
        .boxed_local()
    })
}

/// How to greet.
#[derive(clap::Args)]
struct Greeting {
    /// How loud
    #[arg(long, default_value_t = 1)]
    loudness: usize,
}

fn main() -> ExitCode {
    mesh_runtime::main("greeter", start, vec![greet()])
}
