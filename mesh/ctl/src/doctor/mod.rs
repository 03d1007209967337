//! What this machine has of what the shop needs, and what to do about the rest. Changes nothing.

mod earlier;
mod room;
mod servers;
mod tools;

use anyhow::Result;
use mesh_local::Look;
use serde::Serialize;

use crate::project::Project;

pub use earlier::is_up;

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but somebody may want to know.
    Note,
    /// Nothing works without it.
    Missing,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What it is.
    pub name: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it; empty if nothing.
    pub advice: String,
}

impl Finding {
    fn ok(name: &'static str, found: impl Into<String>) -> Finding {
        Finding { name, verdict: Verdict::Ok, found: found.into(), advice: String::new() }
    }

    fn note(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Note, advice: advice.into(), ..Finding::ok(name, found) }
    }

    fn missing(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Missing, advice: advice.into(), ..Finding::ok(name, found) }
    }
}

/// Looks at everything.
pub fn examine(project: &Project) -> Result<Vec<Finding>> {
    let look = Look::around(&project.home)?;
    let mut findings = vec![tools::versions()];
    findings.extend(tools::builders(project));
    findings.push(tools::python(&look));
    findings.extend(servers::both(project, &look));
    findings.push(servers::observer());
    findings.push(servers::user());
    findings.extend(room::disk(project));
    findings.push(room::ports(project));
    findings.push(earlier::run(project)?);
    findings.extend(earlier::abandoned());
    Ok(findings)
}
