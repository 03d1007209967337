//! What an earlier run left.

use anyhow::Result;
use mesh_local::{Home, left_over};

use super::Finding;
use crate::output;
use crate::platform::Claim;
use crate::project::Project;
use crate::state::State;

/// Whether the shop runs, or a killed one left something.
pub fn run(project: &Project) -> Result<Finding> {
    const NAME: &str = "earlier run";
    let home = &project.home;
    let program = output::program();
    // Held only while we look.
    let claim = Claim::take(home)?;
    let state = match State::find(home) {
        Ok(state) => state,
        Err(error) => {
            let advice = format!("`{program} down` removes it");
            return Ok(Finding::note(NAME, format!("{error:#}"), advice));
        }
    };
    if claim.is_none() {
        let found = match state {
            Some(state) => format!("the shop is up, {} services", state.services.len()),
            None => "an `up` or `down` is at work".to_owned(),
        };
        return Ok(Finding::ok(NAME, found));
    }
    let left = left_over(&home.path("run")).len();
    Ok(match (left, state) {
        (0, None) => Finding::ok(NAME, "nothing is up, nothing is left"),
        (0, Some(_)) => Finding::note(
            NAME,
            "a killed `up` left its state, and no process",
            format!("nothing to do: the next `{program} up` begins anew"),
        ),
        (left, _) => Finding::note(
            NAME,
            format!("{left} processes of a killed `up` still run"),
            format!("`{program} down` ends them; so does the next `{program} up`"),
        ),
    })
}

/// Whether the shop runs, with somebody who looks after it.
pub fn is_up(project: &Project) -> Result<bool> {
    let home = &project.home;
    Ok(Claim::take(home)?.is_none() && State::find(home).is_ok_and(|state| state.is_some()))
}

/// What deleted projects left where root's PostgreSQL keeps its data.
pub fn abandoned() -> Option<Finding> {
    let (homes, places): (Vec<_>, Vec<_>) = Home::abandoned().into_iter().unzip();
    let first = homes.first()?;
    let found = match places.len() {
        1 => format!("the data of {}, which is gone", first.display()),
        count => {
            format!("the data of {count} projects that are gone, one of them {}", first.display())
        }
    };
    let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
    let advice = format!("nobody needs it: rm -rf {}", places.join(" "));
    Some(Finding::note("left behind", found, advice))
}
