//! What has to hold of a checkout before anything of it is applied to a cluster: its services can be one
//! graph, its traffic fits them, and its manifests are what is made of both.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use mesh_local::Declaration;

use super::cluster::Traffic;
use super::{Drift, drift, pages};
use crate::graph::Graph;
use crate::services;

/// Where each service has a folder.
const SERVICES: &str = "services";
const DECLARATION: &str = "mesh.toml";

/// Refuses the checkout at `root` if something of it should not be applied.
///
/// # Errors
/// A service, RPC or version is named that there is not, two services have one name, weights do not add
/// up, or a file was edited that is made: each with its file and line.
pub fn refuse_unfit(root: &Path) -> Result<()> {
    let sources = sources(root)?;
    ensure!(
        !sources.is_empty(),
        "the manifests are not here: there is no {SERVICES}/*/{DECLARATION} in {}; run it in the \
         checkout",
        root.display()
    );
    Graph::read(sources.iter().map(|(path, text)| (path.as_str(), text.as_str())))?;
    let declarations: Vec<Declaration> = sources
        .iter()
        .map(|(path, text)| Declaration::parse(text).with_context(|| path.clone()))
        .collect::<Result<_>>()?;
    let (file, known) = services::TRAFFIC;
    let traffic = fs::read_to_string(root.join(file));
    let traffic = traffic.with_context(|| format!("{file}:1: cannot be read"))?;
    Traffic::parse(&traffic, &declarations)?;
    is_built_in(&sources, (file, &traffic, known))?;
    let faults: Vec<_> = drift(root, &pages(&declarations)?)?.iter().map(told).collect();
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

/// Each service's `mesh.toml` as it lies there now.
fn sources(root: &Path) -> Result<Vec<(String, String)>> {
    let mut sources = Vec::new();
    let Ok(folders) = fs::read_dir(root.join(SERVICES)) else { return Ok(sources) };
    for folder in folders {
        let name = folder?.file_name().to_string_lossy().into_owned();
        let path = format!("{SERVICES}/{name}/{DECLARATION}");
        let file = root.join(&path);
        if file.is_file() {
            let text = fs::read_to_string(file).with_context(|| format!("{path}:1"))?;
            sources.push((path, text));
        }
    }
    sources.sort();
    Ok(sources)
}

/// Refuses what this program was not built with: it would make something else of it than is asked for.
fn is_built_in(sources: &[(String, String)], traffic: (&str, &str, &str)) -> Result<()> {
    let known: Vec<_> = services::sources().collect();
    for (path, text) in sources {
        let known = known.iter().find(|(file, _)| file == path).map_or("", |(_, text)| *text);
        is_same(path, text, known)?;
    }
    for (path, _) in known {
        ensure!(sources.iter().any(|(file, _)| file == path), "{path}:1: it is missing");
    }
    let (path, text, known) = traffic;
    is_same(path, text, known)
}

fn is_same(path: &str, text: &str, known: &str) -> Result<()> {
    if text == known {
        return Ok(());
    }
    let equal = text.lines().zip(known.lines()).take_while(|(a, b)| a == b).count();
    bail!("{path}:{}: this program was built before that was written", equal + 1)
}

fn told(drift: &Drift) -> String {
    match drift {
        Drift::Missing(path) => format!("{path}:1: it is missing"),
        Drift::Differs(path, line) => {
            format!("{path}:{line}: it is not what the declarations make of it")
        }
        Drift::Stray(path) => format!("{path}:1: nothing makes it"),
    }
}
