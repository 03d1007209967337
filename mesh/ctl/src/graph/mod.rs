//! The service graph: who calls whom and who hears of whom, as every `mesh.toml` declares it. What it
//! names has to be there; what is there but unwise, [`Graph::lint`] says.

mod draw;
mod lint;
mod picture;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, Result, bail};
use mesh_local::{Access, Bucket, Declaration, Exposure, Methods};
use mesh_policy::{Method, Table};
use prost_reflect::DescriptorPool;
use serde::Serialize;

pub use lint::Finding;

/// Services and what leads from one to another.
#[derive(Clone, Debug, Serialize)]
pub struct Graph {
    /// By name.
    pub services: Vec<String>,
    /// From caller to callee; the RPCs as `package.Service/Method`.
    pub calls: Vec<Edge>,
    /// From publisher to subscriber; the events as full message names.
    pub events: Vec<Edge>,
    /// Those that customers reach.
    #[serde(skip)]
    doors: Vec<String>,
    #[serde(skip)]
    contracts: BTreeMap<String, Vec<Method>>,
    /// Who changes what is kept at the broker, under the name that all know it by.
    #[serde(skip)]
    writers: Vec<Writer>,
}

/// A service that changes something.
#[derive(Clone, Debug)]
struct Writer {
    /// The bucket or the events.
    store: String,
    service: String,
    place: Place,
}

/// What leads from one service to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// Where it begins.
    pub from: String,
    /// Where it ends.
    pub to: String,
    /// The RPCs or events.
    pub names: Vec<String>,
    /// What for.
    pub why: String,
    /// The file that declares it, and the line.
    pub place: Place,
}

/// A line of a file of the checkout.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// From the root of the checkout.
    pub file: String,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What there is to name.
struct Contracts {
    pool: DescriptorPool,
    table: Table,
}

impl Graph {
    /// Reads what services declare, as pairs of a file's path and its text.
    ///
    /// # Errors
    /// A file cannot be read, two services have one name, or one names a service, RPC, stream or event that
    /// does not exist: all of these at once, each with its file and line.
    pub fn read<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Graph> {
        let contracts = Contracts::of_this_program()?;
        let mut files = Vec::new();
        for (path, text) in sources {
            let declaration = Declaration::parse(text).with_context(|| path.to_owned())?;
            files.push(File { path, text, declaration });
        }
        let mut faults = Vec::new();
        for (n, file) in files.iter().enumerate() {
            let twin = files[..n].iter().find(|it| it.name() == file.name());
            if let Some(twin) = twin {
                let at = file.place(file.name());
                faults.push(format!("{at}: `{}` is the name of {}, too", file.name(), twin.path));
            }
        }
        let mut graph = Graph {
            services: files.iter().map(|file| file.name().to_owned()).collect(),
            calls: Vec::new(),
            events: Vec::new(),
            doors: files
                .iter()
                .filter(|it| it.is_public())
                .map(|it| it.name().to_owned())
                .collect(),
            contracts: files.iter().map(|file| file.methods(&contracts)).collect(),
            writers: files.iter().flat_map(File::writes).collect(),
        };
        graph.services.sort();
        for file in &files {
            graph.calls.extend(file.calls(&files, &contracts, &mut faults));
            graph.events.extend(file.events(&files, &contracts, &mut faults));
            file.buckets(&files, &mut faults);
        }
        if !faults.is_empty() {
            bail!("{}", faults.join("\n"));
        }
        Ok(graph)
    }

    /// How the contract of a service bounds an RPC.
    fn method(&self, path: &str) -> Option<&Method> {
        self.contracts.values().flatten().find(|method| &*method.path == path)
    }
}

/// One service's `mesh.toml`.
struct File<'a> {
    path: &'a str,
    text: &'a str,
    declaration: Declaration,
}

impl File<'_> {
    fn name(&self) -> &str {
        &self.declaration.service
    }

    fn is_public(&self) -> bool {
        self.declaration.exposure == Exposure::Public
    }

    /// Where it first says `"name"`.
    fn place(&self, name: &str) -> Place {
        let quoted = format!("\"{name}\"");
        let line = self.text.lines().position(|line| line.contains(&quoted));
        Place { file: self.path.to_owned(), line: line.map_or(1, |line| line + 1) }
    }

    fn methods(&self, contracts: &Contracts) -> (String, Vec<Method>) {
        (self.name().to_owned(), contracts.methods(&self.declaration).cloned().collect())
    }

    fn calls(
        &self,
        files: &[File<'_>],
        contracts: &Contracts,
        faults: &mut Vec<String>,
    ) -> Vec<Edge> {
        let mut edges = Vec::new();
        for call in &self.declaration.calls {
            let place = self.place(&call.service);
            let Some(callee) = files.iter().find(|file| file.name() == call.service) else {
                faults.push(format!("{place}: there is no service `{}`", call.service));
                continue;
            };
            let Some(contract) = &callee.declaration.contract else {
                faults.push(format!("{place}: `{}` has no contract", call.service));
                continue;
            };
            let exposure = (self.declaration.exposure, callee.declaration.exposure);
            if exposure == (Exposure::Public, Exposure::Mesh) {
                faults.push(format!(
                    "{place}: `{}` is exposed to the mesh alone, and customers would reach it through \
                     `{}`: say exposure = \"gateway\" in {}",
                    call.service,
                    self.name(),
                    callee.path
                ));
            }
            if call.methods == Methods::All && self.is_public() {
                faults.push(format!(
                    "{place}: customers reach what `{}` calls of `{}`: name each RPC",
                    self.name(),
                    call.service
                ));
            }
            let mut names = Vec::new();
            if call.methods == Methods::All {
                let all = contracts.methods(&callee.declaration);
                names.extend(all.map(|method| method.path.to_string()));
            }
            for name in call.methods.named() {
                let ends = format!("/{name}");
                let methods = contracts.methods(&callee.declaration);
                // One in each version of the contract that has it.
                let found: Vec<_> = methods.filter(|it| it.path.ends_with(&ends)).collect();
                if found.is_empty() {
                    let at = self.place(name);
                    faults.push(format!("{at}: no service of {contract} has an RPC `{name}`"));
                }
                names.extend(found.into_iter().map(|method| method.path.to_string()));
            }
            let (from, to) = (self.name().to_owned(), call.service.clone());
            edges.push(Edge { from, to, names, why: call.why.clone(), place });
        }
        edges
    }

    fn events(
        &self,
        files: &[File<'_>],
        contracts: &Contracts,
        faults: &mut Vec<String>,
    ) -> Vec<Edge> {
        let mut edges = Vec::new();
        for heard in &self.declaration.subscribes {
            let place = self.place(&heard.stream);
            let publisher = files.iter().find(|file| file.name() == heard.stream);
            let published = publisher.map(|file| file.declaration.publishes.as_slice());
            let Some(published) = published.filter(|packages| !packages.is_empty()) else {
                faults.push(format!("{place}: nobody publishes a stream `{}`", heard.stream));
                continue;
            };
            for subject in &heard.subjects {
                let is_its = contracts.pool.get_message_by_name(subject).is_some_and(|message| {
                    published.iter().any(|package| package == message.package_name())
                });
                if !is_its {
                    let (at, stream) = (self.place(subject), &heard.stream);
                    faults.push(format!("{at}: {stream} publishes no event `{subject}`"));
                }
            }
            let (from, to) = (heard.stream.clone(), self.name().to_owned());
            let (names, why) = (heard.subjects.clone(), heard.why.clone());
            edges.push(Edge { from, to, names, why, place });
        }
        edges
    }

    /// Databases are not among it: each service has one of its own name, and no role enters another's.
    fn writes(&self) -> Vec<Writer> {
        let buckets = self.declaration.buckets.iter().filter(|it| it.access == Access::Write);
        let buckets = buckets.map(|it| (&it.name, "the bucket"));
        let events = self.declaration.publishes.iter().map(|package| (package, "the events of"));
        let writer = |(name, what): (&String, &str)| Writer {
            store: format!("{what} `{name}`"),
            service: self.name().to_owned(),
            place: self.place(name),
        };
        buckets.chain(events).map(writer).collect()
    }

    /// What nobody puts into a bucket, nobody finds there. Flags are put there by operators.
    fn buckets(&self, files: &[File<'_>], faults: &mut Vec<String>) {
        let buckets = self.declaration.buckets.iter();
        for Bucket { name, .. } in buckets.filter(|it| it.name != mesh_flags::BUCKET) {
            let writes = |it: &Bucket| it.name == *name && it.access == Access::Write;
            if !files.iter().any(|file| file.declaration.buckets.iter().any(writes)) {
                faults.push(format!("{}: nobody writes the bucket `{name}`", self.place(name)));
            }
        }
    }
}

impl Contracts {
    fn of_this_program() -> Result<Contracts> {
        let sets = [shop::DESCRIPTORS, mesh_proto::DESCRIPTORS];
        let pool = DescriptorPool::decode(sets[0]).context("the contracts cannot be read")?;
        let table = Table::from_descriptors(&sets).context("the contracts' options")?;
        Ok(Contracts { pool, table })
    }

    /// The RPCs that a service serves, by their paths.
    fn methods<'a>(&'a self, declared: &'a Declaration) -> impl Iterator<Item = &'a Method> {
        let its = self.table.methods().filter(|method| declared.serves(method.service()));
        let mut methods: Vec<_> = its.collect();
        methods.sort_by(|a, b| a.path.cmp(&b.path));
        methods.into_iter()
    }
}
