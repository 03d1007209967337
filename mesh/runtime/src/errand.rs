//! What a service's program does besides serving: `orders health`, `orders migrate`.

use std::{fmt, process::ExitCode};

use anyhow::Context as _;
use clap::ArgMatches;
use futures::future::{self, FutureExt as _, LocalBoxFuture};
use tokio::runtime;

use crate::{ConfigError, ServiceConfig, process::BAD_CONFIGURATION};

/// What is said when it is done; an error is said on stderr.
type Outcome = LocalBoxFuture<'static, anyhow::Result<String>>;
type Run = dyn FnOnce(&'static str, ServiceConfig, &ArgMatches) -> Outcome;

/// A subcommand of a service's program: it does one thing with the service's settings, says in one
/// line how that ended, and exits 0 or 1. The service is not started.
pub struct Errand {
    pub(crate) command: clap::Command,
    run: Box<Run>,
}

impl Errand {
    /// The subcommand `name` with the options `A`, which `run` does for the service of that name.
    pub fn new<A: clap::Args>(
        name: &'static str,
        about: &'static str,
        run: impl FnOnce(&'static str, ServiceConfig, A) -> Outcome + 'static,
    ) -> Self {
        // Whatever the options say of themselves.
        let command = A::augment_args(clap::Command::new(name)).about(about).long_about(None);
        let run = move |service, config, matches: &ArgMatches| match A::from_arg_matches(matches) {
            Ok(options) => run(service, config, options),
            Err(error) => future::ready(Err(error.into())).boxed_local(),
        };
        Self { command, run: Box::new(run) }
    }

    /// Does it. Exits 64 if the configuration is bad.
    pub(crate) fn run(
        self,
        service: &'static str,
        config: ServiceConfig,
        matches: &ArgMatches,
    ) -> ExitCode {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let outcome = runtime
            .context("threads cannot be started")
            .and_then(|runtime| runtime.block_on((self.run)(service, config, matches)));
        match outcome {
            Ok(said) => {
                println!("{service}: {said}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{service}: {error:#}");
                let is_configuration = error.is::<ConfigError>();
                if is_configuration { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::FAILURE }
            }
        }
    }
}

impl fmt::Debug for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Errand").field("name", &self.command.get_name()).finish_non_exhaustive()
    }
}
