//! `cluster`: a Kubernetes API and Istio's control plane on this machine, without containers.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use mesh_local::Progress;
use mesh_local::cluster::{Cluster, Part, Tools};
use serde_json::json;
use tokio::net::TcpStream;

use crate::output::{self, Tone};
use crate::project::Project;

/// What to do with it.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::CLUSTER)]
pub struct Args {
    #[command(subcommand)]
    command: Wish,
}

#[derive(Debug, Subcommand)]
enum Wish {
    /// Builds what is missing, once, and starts nothing.
    #[command(after_help = crate::help::CLUSTER)]
    Build,
    /// Builds what is missing, and starts etcd, the API server, controllers and istiod.
    #[command(after_help = crate::help::CLUSTER)]
    Up,
    /// Shows what of it runs, and where.
    #[command(after_help = crate::help::CLUSTER)]
    Status {
        /// Print JSON and nothing else.
        #[arg(long)]
        json: bool,
    },
    /// Ends it, and forgets every object that was applied.
    #[command(after_help = crate::help::CLUSTER)]
    Down,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let project = Project::find()?;
    match args.command {
        Wish::Build => build().await,
        Wish::Up => up(&project).await,
        Wish::Status { json } => status(&project, json).await,
        Wish::Down => down(&project).await,
    }
}

async fn build() -> Result<ExitCode> {
    let mut progress = Progress::stderr();
    let tools = Tools::find(&Tools::cache_of_user()?, &mut progress).await?;
    progress.finish();
    println!("  all that a cluster needs is in {}", tools.cache().display());
    Ok(ExitCode::SUCCESS)
}

async fn up(project: &Project) -> Result<ExitCode> {
    let mut progress = Progress::stderr();
    let was_up = Cluster::find(&project.home)?.is_some_and(|cluster| cluster.is_up());
    let tools = Tools::find(&Tools::cache_of_user()?, &mut progress).await?;
    let cluster = Cluster::up(&project.home, tools, &mut progress).await?;
    progress.finish();
    let already = if was_up { " already" } else { "" };
    println!("\n  {}\n", output::toned(&format!("the cluster is up{already}"), Tone::Good));
    let parts = cluster.parts().into_iter().map(|part| (part, true)).collect();
    print!("{}", table(parts));
    let kubectl = cluster.kubectl();
    println!("\n  export KUBECONFIG={}", kubectl.kubeconfig().display());
    println!("  {} get namespaces", cluster.tools().program("kubectl").display());
    let program = output::program();
    println!("\n  `{program} up --istio` runs the shop in it, `{program} cluster down` ends it.");
    Ok(ExitCode::SUCCESS)
}

async fn status(project: &Project, as_json: bool) -> Result<ExitCode> {
    let Some(cluster) = Cluster::find(&project.home)? else {
        match as_json {
            true => println!("{}", json!({ "up": false })),
            false => println!("  no cluster is up: `{} cluster up` starts one", output::program()),
        }
        return Ok(ExitCode::FAILURE);
    };
    let mut parts = Vec::new();
    for part in cluster.parts() {
        let answers = part.pid.is_some() && TcpStream::connect(part.address).await.is_ok();
        parts.push((part, answers));
    }
    let up = parts.iter().all(|(_, answers)| *answers);
    if as_json {
        output::json(&json!({
            "up": up,
            "kubeconfig": cluster.kubectl().kubeconfig(),
            "kubectl": cluster.tools().program("kubectl"),
            "istioctl": cluster.tools().program("istioctl"),
            "parts": parts.iter().map(|(part, _)| part).collect::<Vec<_>>(),
        }))?;
    } else {
        print!("{}", table(parts));
        if !up {
            println!("\n  `{} cluster up` starts what is down", output::program());
        }
    }
    Ok(if up { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn down(project: &Project) -> Result<ExitCode> {
    let mut progress = Progress::stderr();
    progress.step("ending istiod, the API server and etcd");
    let ended = Cluster::down(&project.home).await?;
    progress.finish();
    match ended {
        0 => println!("  no cluster was up"),
        _ => println!("  the cluster is down"),
    }
    Ok(ExitCode::SUCCESS)
}

fn table(parts: Vec<(Part, bool)>) -> String {
    let row = |(part, answers): (Part, bool)| {
        let (word, tone) = match (part.pid, answers) {
            (Some(_), true) => ("ready", Tone::Good),
            (Some(_), false) => ("starting", Tone::Doubtful),
            (None, _) => ("down", Tone::Bad),
        };
        let pid = part.pid.map(|pid| format!("pid {pid}")).unwrap_or_default();
        vec![
            (part.name.to_owned(), Tone::Strong),
            (word.to_owned(), tone),
            (part.address.to_string(), Tone::Plain),
            (pid, Tone::Faint),
        ]
    };
    output::table(&parts.into_iter().map(row).collect::<Vec<_>>())
}
