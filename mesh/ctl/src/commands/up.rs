//! `up`: from nothing to a shop that takes orders.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mesh_local::{Progress, Servers, tail};
use tokio::process::{Child, Command};

use super::Ending;
use crate::output::{self, Tone};
use crate::platform::{Claim, Plan, Running, wait_ready};
use crate::project::Project;
use crate::seed::{self, Shop};
use crate::services;
use crate::state::State;

const STARTING: Duration = Duration::from_secs(120);

/// What to start.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Return once everything is healthy; it goes on running in the background.
    #[arg(long)]
    detach: bool,
    /// Run all services, or those named, in one process.
    #[arg(long, value_name = "SERVICES", num_args = 0..=1, value_delimiter = ',',
          default_missing_value = "all")]
    in_process: Option<Vec<String>>,
    /// Build with optimisation.
    #[arg(long)]
    release: bool,
    /// Run several processes of a service, such as `orders=2`.
    #[arg(long, value_name = "SERVICE=NUMBER", value_delimiter = ',')]
    replicas: Vec<String>,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let project = Project::find()?;
    let home = &project.home;
    let Some(claim) = Claim::take(home)? else { return already_up(&project).await };
    let in_process = match args.in_process {
        None => Vec::new(),
        Some(names) if names == ["all"] => services::names()?,
        Some(names) => names,
    };
    let replicas = services::replicas(&args.replicas)?;
    let plan = Plan::make(&project, replicas, in_process, args.release).await?;
    let mut progress = Progress::stderr();
    // Here rather than in the background: the first time it takes a while, and is shown.
    Servers::find(home, &mut progress).await?;
    if args.detach {
        claim.clean_up().await?;
        plan.save(home)?;
        // For the supervisor to take.
        drop(claim);
        detached(&project, &mut progress).await
    } else {
        attached(&project, claim, &plan, &mut progress).await
    }
}

/// Runs in the foreground until Ctrl-C.
async fn attached(
    project: &Project,
    claim: Claim,
    plan: &Plan,
    progress: &mut Progress,
) -> Result<ExitCode> {
    let mut ending = Ending::listen()?;
    let home = &project.home;
    let running = Running::start(home, claim, plan, progress).await?;
    let state = running.state().clone();
    let begin = async {
        let shop = healthy_and_seeded(project, &state, progress).await?;
        welcome(project, &state, &shop);
        println!("\n  Ctrl-C ends it.");
        Ok::<_, anyhow::Error>(())
    };
    let begun = tokio::select! {
        begun = begin => begun.map(|()| true),
        () = ending.wished() => Ok(false),
    };
    if matches!(begun, Ok(true)) {
        ending.wished().await;
    }
    let mut progress = Progress::stderr();
    tokio::select! {
        ended = running.shut_down(&mut progress) => ended?,
        // The second time: at once. Whatever is left ends with us.
        () = ending.wished() => bail!("ended without draining"),
    }
    begun.map(|_| ExitCode::SUCCESS)
}

/// Starts a supervisor in the background and waits until everything is healthy.
async fn detached(project: &Project, progress: &mut Progress) -> Result<ExitCode> {
    let home = &project.home;
    progress.step("starting PostgreSQL, nats-server and the services");
    let log = home.logs()?.join("supervisor.log");
    let mut supervisor = supervisor(project, &log)?;
    let begun = Instant::now();
    let state = loop {
        if let Some(state) = State::find(home)? {
            break state;
        }
        if let Some(status) = supervisor.try_wait()? {
            bail!("the start failed ({status}); {} says\n{}", log.display(), tail(&log, 15));
        }
        if begun.elapsed() > STARTING {
            bail!("nothing started within {} s, see {}", STARTING.as_secs(), log.display());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let shop = healthy_and_seeded(project, &state, progress).await;
    let shop = shop.with_context(|| {
        format!("what was started does not work; `{} down` ends it", output::program())
    })?;
    welcome(project, &state, &shop);
    println!("\n  `{} down` ends it.", output::program());
    Ok(ExitCode::SUCCESS)
}

async fn healthy_and_seeded(
    project: &Project,
    state: &State,
    progress: &mut Progress,
) -> Result<Shop> {
    progress.step("waiting until every service is ready");
    wait_ready(&project.home, state).await?;
    progress.step("seeding the shop");
    let shop = seed::seed(state).await?;
    progress.finish();
    Ok(shop)
}

fn supervisor(project: &Project, log: &Path) -> Result<Child> {
    File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let log = OpenOptions::new().append(true).open(log)?;
    let program = std::env::current_exe().context("cannot tell which executable this is")?;
    let mut command = Command::new(program);
    command
        .arg("supervise")
        .current_dir(&project.root)
        .env("MESH_HOME", project.home.root())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    command.spawn().context("cannot start the supervisor")
}

async fn already_up(project: &Project) -> Result<ExitCode> {
    let begun = Instant::now();
    loop {
        if let Some(state) = State::find(&project.home)? {
            println!("\n  the shop is up already\n");
            addresses(&state);
            println!("\n  `{} down` ends it.", output::program());
            return Ok(ExitCode::SUCCESS);
        }
        // Another `up` is at work.
        if begun.elapsed() > STARTING {
            bail!("another `up` is at work in {}, and not done", project.home.root().display());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Says where everything is, and what to try.
fn welcome(project: &Project, state: &State, shop: &Shop) {
    println!("\n  {}\n", output::toned("the shop is up", Tone::Good));
    addresses(state);
    println!();
    let mut customers = Vec::new();
    for customer in &shop.customers {
        customers.push(vec![
            (customer.name.to_owned(), Tone::Strong),
            (format!("customer {}", customer.id), Tone::Plain),
            (format!("card token {}", customer.card_token), Tone::Plain),
        ]);
    }
    print!("{}", output::table(&customers));
    println!("\n  {} products, all in stock; data and logs in {}", shop.products, shown(project));
    println!("\n  {}\n", output::toned("three things to try", Tone::Strong));
    println!("    {} demo --orders 100", output::program());
    println!("    {} status", output::program());
    if let Ok(catalog) = state.grpc("catalog") {
        println!(
            "    grpcurl -plaintext -d '{{\"page_size\": 3}}' {catalog} \
             shop.catalog.v1.CatalogService/ListProducts"
        );
    }
}

fn shown(project: &Project) -> String {
    let home = project.home.root();
    let here = std::env::current_dir().unwrap_or_default();
    home.strip_prefix(&here).unwrap_or(home).display().to_string()
}

fn addresses(state: &State) {
    let mut rows = Vec::new();
    for (name, number, instance) in state.instances() {
        let label = if number == 0 { name.to_owned() } else { String::new() };
        rows.push(vec![
            (label, Tone::Strong),
            (instance.grpc.to_string(), Tone::Plain),
            (format!("admin http://{}", instance.admin), Tone::Faint),
        ]);
    }
    for (name, url) in [("postgres", &state.postgres.url), ("nats", &state.nats.url)] {
        let address = url.rsplit('@').next().and_then(|rest| rest.split('/').next());
        let address = address.unwrap_or_default();
        rows.push(vec![(name.to_owned(), Tone::Strong), (address.to_owned(), Tone::Plain)]);
    }
    print!("{}", output::table(&rows));
}
