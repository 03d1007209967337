//! Which release each process runs: a link that is led elsewhere while the process is away.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use mesh_testkit::{PlatformOptions, programs};

/// The programs of two releases, and a link for each process.
pub struct Links {
    links: PathBuf,
    last: PathBuf,
    this: PathBuf,
    /// Every process, `orders.1` say, and its program's name.
    processes: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    Last,
    This,
}

impl Links {
    /// Two processes of each service, all of the last release, whose programs lie in `last`.
    pub async fn to(last: &Path, services: &[&str]) -> Self {
        let links = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("releases");
        _ = fs::remove_dir_all(&links);
        fs::create_dir_all(&links).unwrap();
        let processes = services.iter().flat_map(|service| {
            let name = |replica| (format!("{service}.{replica}"), (*service).to_owned());
            [0, 1].map(name)
        });
        let (last, this) = (last.to_owned(), programs(services).await);
        let links = Self { links, last, this, processes: processes.collect() };
        for (process, _) in &links.processes {
            links.lead(process, Release::Last);
        }
        links
    }

    /// Lets every process run what its link leads to.
    pub fn give(&self, options: PlatformOptions) -> PlatformOptions {
        self.processes.iter().fold(options, |options, (process, _)| {
            options.program(process, &self.links.join(process))
        })
    }

    /// Leads a process' link to a release of its program: it is run at the next start.
    pub fn lead(&self, process: &str, to: Release) {
        let (_, program) = self.processes.iter().find(|(name, _)| name == process).unwrap();
        let folder = if to == Release::Last { &self.last } else { &self.this };
        let link = self.links.join(process);
        _ = fs::remove_file(&link);
        symlink(folder.join(program), link).unwrap();
    }
}
