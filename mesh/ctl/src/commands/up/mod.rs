//! `up`: from nothing to a shop that takes orders.

mod already;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mesh_local::cluster::Cluster;
use mesh_local::{Progress, Prometheus, Servers, tail};
use meshctl::caller::Evidence;
use meshctl::generate::cluster::{GRPC, host};
use serde_json::json;
use tokio::process::{Child, Command};

use super::{Ending, audit::duration, supervise};
use crate::output::{self, Tone};
use crate::platform::{
    Claim, Plan, Replacement, Running, applicable, replacements, wait_believed, wait_ready,
};
use crate::project::Project;
use crate::seed::{self, Customer, Shop};
use crate::services;
use crate::state::{Instance, State};

const STARTING: Duration = Duration::from_secs(120);

/// What to start.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::UP)]
pub struct Args {
    /// Return once everything is healthy; it goes on running in the background.
    #[arg(long)]
    detach: bool,
    /// With --detach: print JSON and nothing else, what state.json says and who may order.
    #[arg(long, requires = "detach")]
    json: bool,
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
    /// Run another program in place of a service's own, such as `processor='python3 main.py'`: it is
    /// given the same environment.
    #[arg(long, value_name = "SERVICE=COMMAND")]
    replace: Vec<String>,
    /// How long each process may take to be ready: 60s, 2m.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    wait: Duration,
    /// Encrypt every connection; both ends show certificates of a local authority.
    #[arg(long)]
    mtls: bool,
    /// Run every process behind a sidecar of its own, in the cluster of `cluster up`, by the manifests
    /// of the checkout.
    #[arg(long, conflicts_with_all = ["mtls", "in_process"])]
    istio: bool,
    /// With --istio: run one process more of a service as another version, such as `orders=v2`.
    #[arg(long, value_name = "SERVICE=VERSION", value_delimiter = ',', requires = "istio")]
    canary: Vec<String>,
    /// Keep no traces: services send none, and `trace` has nothing to show.
    #[arg(long)]
    untraced: bool,
    /// Start Prometheus as well, with all rules and alerts, if it is on this machine.
    #[arg(long)]
    observe: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let project = Project::find()?;
    let home = &project.home;
    let Some(claim) = Claim::take_over(home).await? else {
        return already_up(&project, &args).await;
    };
    if args.istio {
        applicable(&project.root)?;
    }
    if args.istio && !Cluster::find(home)?.is_some_and(|cluster| cluster.is_up()) {
        bail!("no cluster is up: `{} cluster up` first", output::program());
    }
    let replaced = replacements(&args.replace, &std::env::current_dir()?)?;
    let in_process = in_process(&args, &replaced)?;
    let replicas = services::replicas(&args.replicas)?;
    let plan = Plan::make(&project, replicas, in_process, replaced, args.release).await?;
    let plan = plan.with_mtls(args.mtls).with_untraced(args.untraced);
    let plan = plan
        .with_istio(args.istio.then(|| project.root.clone()), services::versions(&args.canary)?);
    let plan = plan.with_prometheus(prometheus(args.observe));
    let mut progress = Progress::stderr();
    // Here rather than in the background: the first time it takes a while, and is shown.
    Servers::find(home, &mut progress).await?;
    plan.save(home)?;
    if args.detach {
        claim.clean_up().await?;
        // For the supervisor to take.
        drop(claim);
        detached(&project, &plan, &args, &mut progress).await
    } else {
        attached(&project, claim, &plan, args.wait, &mut progress).await
    }
}

/// The services that share a process: those that are named, or all that have no other program.
fn in_process(args: &Args, replaced: &BTreeMap<String, Replacement>) -> Result<Vec<String>> {
    match &args.in_process {
        None => Ok(Vec::new()),
        Some(names) if *names == ["all"] => {
            let own = services::names()?.into_iter().filter(|name| !replaced.contains_key(name));
            Ok(own.collect())
        }
        Some(names) => Ok(names.clone()),
    }
}

/// The Prometheus to start. Without one the shop comes up all the same, and what is missing is said.
fn prometheus(wanted: bool) -> Option<PathBuf> {
    if !wanted {
        return None;
    }
    Prometheus::find().inspect_err(|missing| eprintln!("  not observed: {missing}")).ok()
}

/// Runs in the foreground until Ctrl-C.
async fn attached(
    project: &Project,
    claim: Claim,
    plan: &Plan,
    patience: Duration,
    progress: &mut Progress,
) -> Result<ExitCode> {
    let mut ending = Ending::listen()?;
    let home = &project.home;
    let running = Running::start(home, claim, plan, progress).await?;
    let state = running.state().clone();
    let begin = async {
        let shop = healthy_and_seeded(project, &state, patience, progress).await?;
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
async fn detached(
    project: &Project,
    plan: &Plan,
    args: &Args,
    progress: &mut Progress,
) -> Result<ExitCode> {
    let home = &project.home;
    progress.step("starting PostgreSQL, nats-server and the services");
    let log = home.logs()?.join("supervisor.log");
    let mut supervisor = supervisor(project, &plan.meshctl, &log)?;
    let begun = Instant::now();
    let state = loop {
        if let Some(state) = State::find(home)? {
            break state;
        }
        if let Some(status) = supervisor.try_wait()? {
            // Another `up` began at the same moment, and was first.
            if status.code() == Some(i32::from(supervise::TAKEN)) {
                return already_up(project, args).await;
            }
            bail!(
                "the start failed ({status}); `{} doctor` looks for reasons, and {} says\n{}",
                output::program(),
                log.display(),
                tail(&log, 15)
            );
        }
        if begun.elapsed() > STARTING {
            bail!("nothing started within {} s, see {}", STARTING.as_secs(), log.display());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let shop = healthy_and_seeded(project, &state, args.wait, progress).await;
    let shop = shop.with_context(|| {
        format!("what was started does not work; `{} down` ends it", output::program())
    })?;
    if args.json {
        print_json(&state, Some(&shop))?;
    } else {
        welcome(project, &state, &shop);
        println!("\n  `{} down` ends it.", output::program());
    }
    Ok(ExitCode::SUCCESS)
}

fn print_json(state: &State, shop: Option<&Shop>) -> Result<()> {
    let mut value = serde_json::to_value(state)?;
    if let Some(shop) = shop {
        let customer = |customer: &Customer| {
            json!({
                "name": customer.name,
                "id": customer.id.to_string(),
                "card_token": customer.card_token,
            })
        };
        value["customers"] = shop.customers.iter().map(customer).collect();
    }
    output::json(&value)
}

async fn healthy_and_seeded(
    project: &Project,
    state: &State,
    patience: Duration,
    progress: &mut Progress,
) -> Result<Shop> {
    progress.step("waiting until every service is ready");
    wait_ready(&project.home, state, patience).await?;
    wait_believed(&project.home, state).await?;
    progress.step("seeding the shop");
    let shop = seed::seed(state).await?;
    progress.finish();
    Ok(shop)
}

fn supervisor(project: &Project, program: &Path, log: &Path) -> Result<Child> {
    File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let log = OpenOptions::new().append(true).open(log)?;
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

/// Says what is up; refuses what the shop that is up is without.
async fn already_up(project: &Project, args: &Args) -> Result<ExitCode> {
    let begun = Instant::now();
    let replaced = replacements(&args.replace, &std::env::current_dir()?)?;
    loop {
        if let Some(state) = State::find(&project.home)? {
            let program = output::program();
            let plan = Plan::load(&project.home).ok();
            let missing = already::missing(args, &replaced, &state, plan.as_ref())?;
            if !missing.is_empty() {
                bail!("the shop is up without {}: `{program} down` first", missing.join(", "));
            }
            if args.json {
                print_json(&state, None)?;
                return Ok(ExitCode::SUCCESS);
            }
            let older = plan.map(|plan| plan.outdated(&project.home)).unwrap_or_default();
            println!("\n  the shop is up already{}\n", with_older(&older));
            addresses(&state);
            println!("\n  `{program} down` ends it.");
            if !older.is_empty() {
                println!("  `{program} down && {program} up` takes the new programs.");
            }
            return Ok(ExitCode::SUCCESS);
        }
        // Another `up` is at work.
        if begun.elapsed() > STARTING {
            bail!("another `up` is at work in {}, and not done", project.home.root().display());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Says which services still run programs from before the last build.
fn with_older(services: &[String]) -> String {
    match services {
        [] => String::new(),
        some => format!(", with older programs than the tree's: {}", some.join(", ")),
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
    println!(
        "\n  {} products, all in stock; data and logs in {}",
        shop.products,
        from_here(project.home.root())
    );
    // Root's PostgreSQL runs as another user, who may not reach the home.
    if let Ok(elsewhere) = std::fs::read_link(project.home.path("postgres")) {
        println!("  (PostgreSQL's data in {})", elsewhere.display());
    }
    println!("\n  {}\n", output::toned("four things to try", Tone::Strong));
    println!("    {} demo --watch", output::program());
    println!("    {} status", output::program());
    let door = |service: &str| match &state.caller {
        // It routes by the name.
        Evidence::Sidecar(ours) => Ok(*ours),
        _ => state.grpc(service),
    };
    if let Ok(gateway) = door(services::GATEWAY) {
        let named = match &state.caller {
            Evidence::Sidecar(_) => format!("-H 'Host: {}:{GRPC}' ", host(services::GATEWAY)),
            _ => String::new(),
        };
        println!("    curl {named}'http://{gateway}/v1/products?page_size=3'");
    }
    if let Ok(catalog) = door("catalog") {
        println!(
            "    grpcurl {} -d '{{\"page_size\": 3}}' {catalog} \
             shop.catalog.v1.CatalogService/ListProducts",
            flags(&state.caller, "catalog"),
        );
    }
    if state.caller.is_certified() {
        println!("\n  with those flags grpcurl reaches the catalog; others by their names after");
        println!("  -authority. Without a certificate only health and reflection are answered.");
    }
}

/// What grpcurl needs to be told to reach a service.
fn flags(caller: &Evidence, service: &str) -> String {
    match caller {
        Evidence::Nobody | Evidence::Key(_) => "-plaintext".to_owned(),
        Evidence::Sidecar(_) => format!("-plaintext -authority {}:{GRPC}", host(service)),
        Evidence::Certificate { certificate, key, ca } => format!(
            "-cacert {} -cert {} -key {} -authority {service}",
            from_here(ca),
            from_here(certificate),
            from_here(key)
        ),
    }
}

fn from_here(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

/// Where a process answers: as a URL if that is of use to a browser.
fn address(instance: &Instance) -> String {
    match instance.http {
        Some(http) => format!("http://{http}"),
        None => instance.grpc.to_string(),
    }
}

fn addresses(state: &State) {
    let mut rows = Vec::new();
    for (name, number, instance) in state.instances() {
        let label = if number == 0 { name.to_owned() } else { String::new() };
        rows.push(vec![
            (label, Tone::Strong),
            (address(instance), Tone::Plain),
            (format!("admin http://{}", instance.admin), Tone::Faint),
        ]);
    }
    let row = |name: &str, what: &str| {
        vec![(name.to_owned(), Tone::Strong), (what.to_owned(), Tone::Plain)]
    };
    for (name, url) in [("postgres", &state.postgres.url), ("nats", &state.nats.url)] {
        let address = url.rsplit('@').next().and_then(|rest| rest.split(['/', '?']).next());
        rows.push(row(name, address.unwrap_or_default()));
    }
    rows.extend(state.prometheus.as_ref().map(|it| row("prometheus", &it.url)));
    let asked = format!("{} trace ORDER_ID", output::program());
    rows.extend(state.traces.as_ref().map(|_| row("traces", &asked)));
    print!("{}", output::table(&rows));
}
