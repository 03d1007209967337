//! `main` of a service binary.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::ArgMatches;
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

use crate::{ConfigError, Errand, Service, ServiceConfig, telemetry};

/// `EX_USAGE` of sysexits: the configuration is wrong, a restart does not help.
pub(crate) const BAD_CONFIGURATION: u8 = 64;
/// `EX_SOFTWARE`: a part of the service panicked.
const FAILED: u8 = 70;
/// Time that background tasks have to end after the drain.
const TASKS_LIMIT: Duration = Duration::from_secs(10);
/// Time that the last signals have to leave.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// A service that answers.
#[derive(Clone, Debug)]
pub struct Started {
    /// The service.
    pub service: Service,
    /// Where it answers gRPC.
    pub grpc: SocketAddr,
}

/// Runs a service from its command line until SIGTERM or SIGINT has drained it; or one of its
/// `errands`, if the command line names it.
///
/// Exits 64 if the configuration is bad, before a port is bound. A second signal ends it at once.
pub fn main<C, F>(name: &'static str, start: F, errands: Vec<Errand>) -> ExitCode
where
    C: clap::Parser + AsRef<ServiceConfig>,
    F: AsyncFnOnce(C) -> anyhow::Result<Started>,
{
    let (config, matches) = match parse::<C>(&errands) {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = error.print();
            let asked = !error.use_stderr();
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(BAD_CONFIGURATION) };
        }
    };
    if let Some((asked, matches)) = matches.subcommand()
        && let Some(errand) = errands.into_iter().find(|it| it.command.get_name() == asked)
    {
        return errand.run(name, config.as_ref().clone(), matches);
    }
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(config.as_ref().worker_threads)
        .thread_name(name)
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(run(name, config, start));
            // While the runtime lives: the exporter's connection runs on it.
            runtime.block_on(telemetry::flush(FLUSH_LIMIT));
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(error).context("threads cannot be started"),
    };
    match outcome {
        Ok(code) => code,
        Err(error) if error.is::<ConfigError>() => {
            eprintln!("{name}: {error:#}");
            ExitCode::from(BAD_CONFIGURATION)
        }
        Err(error) => {
            tracing::error!(service = name, error = format!("{error:#}"), "service failed");
            ExitCode::FAILURE
        }
    }
}

/// Reads the command line: the settings, and which errand it names.
fn parse<C: clap::Parser>(errands: &[Errand]) -> Result<(C, ArgMatches), clap::Error> {
    let subcommands = errands.iter().map(|errand| &errand.command);
    let mut command = C::command().subcommands(subcommands).disable_help_subcommand(true);
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    let config = C::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    Ok((config, matches))
}

async fn run<C, F>(name: &'static str, config: C, start: F) -> anyhow::Result<ExitCode>
where
    C: AsRef<ServiceConfig>,
    F: AsyncFnOnce(C) -> anyhow::Result<Started>,
{
    // Inside the runtime, because the exporter needs one.
    telemetry::init(name, config.as_ref())?;
    let mut signals = Signals::new()?;
    let started = tokio::select! {
        started = start(config) => started?,
        () = signals.recv() => return Ok(ExitCode::SUCCESS),
    };
    let Started { service, grpc } = started;
    let admin = service.admin_addr();
    tracing::info!(service = name, %grpc, %admin, "started");

    let draining = service.draining();
    tokio::select! {
        () = signals.recv() => service.stop(),
        () = draining.cancelled() => {}
    }
    let limit = service.pre_stop() + service.drain_limit() + TASKS_LIMIT;
    tokio::select! {
        ended = timeout(limit, service.finish()) => {
            if ended.is_err() {
                tracing::warn!(service = name, "background tasks did not end in time");
            }
        }
        () = signals.recv() => tracing::warn!(service = name, "stopped without waiting"),
    }
    tracing::info!(service = name, "stopped");
    Ok(if service.has_failed() { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
